import pg from 'pg';
import { EcompipeError, errnoOf } from '../errors.js';

/**
 * What an error of the database or its connection asks for:
 * - `retry`: it may go away by itself. Also everything unknown: waiting never loses data, giving up a row would.
 * - `row`: the data is at fault. Only these may ever send a row to the rejects.
 * - `fatal`: only a person can help (credentials, rights, a missing schema).
 * - `bug`: not the database's at all.
 */
export type ErrorClass = 'retry' | 'row' | 'fatal' | 'bug';

/** By SQLSTATE, longest prefix first (PostgreSQL manual, appendix A). */
const SQLSTATE_CLASSES: readonly (readonly [prefix: string, ErrorClass])[] = [
  ['42501', 'fatal'], // insufficient_privilege
  ['22', 'row'], // data exception
  ['23', 'row'], // integrity constraint violation
  ['28', 'fatal'], // invalid authorization
  ['3D', 'fatal'], // no such database
  ['3F', 'fatal'], // no such schema
  ['42', 'fatal'], // syntax error, undefined object
  ['0A', 'fatal'], // feature not supported
];

/** The five-character SQLSTATE of a server error. */
export function sqlStateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** Classes of errors that say nothing about rows: the connection, the transaction, the server's state or resources. */
const NOT_ABOUT_ROWS = /^(08|0B|25|26|28|34|3B|3D|40|53|55|57|58|F0|HV|XX)/;

/**
 * Whether the server refused rows, for whatever reason that is not its own: then each row can be judged alone
 * (`ecompipe.blames` draws the same line). What refuses every row is told by whoever judges them.
 */
export function isRefusal(error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  return sqlState !== undefined && !NOT_ABOUT_ROWS.test(sqlState);
}

/** Classes an error caught around a database call. Never looks at message text. */
export function classifyError(error: unknown): ErrorClass {
  const sqlState = sqlStateOf(error);
  if (sqlState !== undefined) return SQLSTATE_CLASSES.find(([prefix]) => sqlState.startsWith(prefix))?.[1] ?? 'retry';
  if (
    error instanceof EcompipeError ||
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError
  )
    return 'bug';
  // Node calls errors of its own making ERR_…: wrong use of an API, our bug. Those of sockets have an errno or no code at all.
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (isCertificateError(error)) return 'fatal';
  if (typeof code === 'string' && code.startsWith('ERR_') && !SOCKET_CODES.has(code)) return 'bug';
  return error instanceof Error || errnoOf(error) !== undefined ? 'retry' : 'bug';
}

const SOCKET_CODES = new Set([
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ERR_SOCKET_CLOSED',
  'ERR_SOCKET_CLOSED_BEFORE_CONNECTION',
]);

/** A server certificate that can't be trusted (Node's manual, "X509 certificate error codes"). */
function isCertificateError(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code !== undefined && CERTIFICATE_CODES.has(code);
}

const CERTIFICATE_CODES = new Set([
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_NOT_YET_VALID',
  'CERT_HAS_EXPIRED',
  'CERT_REVOKED',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'CERT_CHAIN_TOO_LONG',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'HOSTNAME_MISMATCH',
]);

const HINTS: readonly (readonly [prefix: string, string])[] = [
  ['28', 'check POSTGRES_USER and POSTGRES_PASSWORD (or DATABASE_URL, PGPASSWORD, ~/.pgpass)'],
  ['3D', 'check POSTGRES_DB, or create the database: createdb NAME'],
  ['42P01', 'run `ecompipe migrate` first'],
  ['3F', 'run `ecompipe migrate` first'],
  ['42501', 'grant the role what docs/user_guide.md lists (A role that can only load), or use another role'],
  ['08', 'check POSTGRES_HOST and POSTGRES_PORT, and that the server accepts connections'],
  ['53', 'the server is out of a resource (connections, memory or disk); see its log'],
  ['25006', 'the server is read-only (a standby?); name the primary'],
];

/** What a person can do about a server or network error. */
export function hintFor(error: unknown): string | undefined {
  const sqlState = sqlStateOf(error);
  if (sqlState !== undefined) return HINTS.find(([prefix]) => sqlState.startsWith(prefix))?.[1];
  if (isCertificateError(error))
    return 'name the authority that signed it in POSTGRES_SSLROOTCERT, and the host as its certificate does';
  return 'check POSTGRES_HOST and POSTGRES_PORT (or DATABASE_URL), and that the server is running';
}

/** The server's own words, with detail and SQLSTATE where there are any. */
export function serverMessage(error: unknown): string {
  if (error instanceof pg.DatabaseError)
    return [`${error.message} (SQLSTATE ${error.code ?? '?'})`, error.detail].filter(Boolean).join('; ');
  if (error instanceof AggregateError) return error.errors.map(serverMessage).join('; ');
  return error instanceof Error ? error.message : String(error);
}
