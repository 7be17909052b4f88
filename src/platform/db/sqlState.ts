import pg from 'pg';
import { printableLine } from '../printable.js';

/**
 * What an error of the database or its connection asks for:
 * - `retry`: it passes by itself. Also an SQLSTATE that nobody listed: waiting never loses data, giving up a row would.
 * - `row`: the data is at fault. Only these may ever send a row to the rejects.
 * - `fatal`: only a person can help (credentials, rights, a missing schema).
 * - `bug`: not the database's at all. Any other JavaScript error.
 */
export type ErrorClass = 'retry' | 'row' | 'fatal' | 'bug';

/** By SQLSTATE, longest prefix first (PostgreSQL manual, appendix A). This is the whole list of what is retried. */
const SQLSTATE_CLASSES: readonly (readonly [prefix: string, ErrorClass])[] = [
  ['42501', 'fatal'], // insufficient_privilege
  ['08', 'retry'], // connection exception
  ['25006', 'retry'], // read_only_sql_transaction: a standby that is being promoted
  ['40', 'retry'], // transaction rollback: serialization failure, deadlock
  ['53', 'retry'], // insufficient resources
  ['55P03', 'retry'], // lock_not_available
  ['57', 'retry'], // operator intervention: shutdown, cancel, starting up
  ['58', 'retry'], // system error
  ['22', 'row'], // data exception
  ['23', 'row'], // integrity constraint violation
  ['28', 'fatal'], // invalid authorization
  ['3D', 'fatal'], // no such database
  ['3F', 'fatal'], // no such schema
  ['42', 'fatal'], // syntax error, undefined object
  ['0A', 'fatal'], // feature not supported
];

/** The connection is gone, or could not be made: said by whoever owns the socket, so that nobody has to guess it later. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';

  /** @param hint what a person can do about it. Default: check where the database is. */
  constructor(
    cause: unknown,
    readonly hint?: string | undefined,
  ) {
    super(serverMessage(cause), { cause });
  }
}

/** Something beside the database failed in a way that is known to pass: try again as after a lost connection. */
export class TransientError extends Error {
  override readonly name = 'TransientError';
}

/** The five-character SQLSTATE of a server error. */
export function sqlStateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** Classes of errors that say nothing about rows: the connection, the transaction, the server's state or resources. */
const NOT_ABOUT_ROWS = /^(08|0B|25|26|28|34|3B|3D|40|53|55|57|58|F0|HV|XX)/;

/**
 * Whether the server refused rows, for whatever reason that is not its own: then each row can be judged alone
 * (`ecompipe.blames` draws the same line). What refuses every row is reported by whoever judges them.
 */
export function isRefusal(error: unknown): boolean {
  const sqlState = sqlStateOf(error);
  return sqlState !== undefined && !NOT_ABOUT_ROWS.test(sqlState);
}

/** Classes an error caught around a database call. Never looks at message text. */
export function classifyError(error: unknown): ErrorClass {
  const sqlState = sqlStateOf(error);
  if (sqlState !== undefined) return SQLSTATE_CLASSES.find(([prefix]) => sqlState.startsWith(prefix))?.[1] ?? 'retry';
  if (error instanceof ConnectionLostError || error instanceof TransientError) return 'retry';
  return isCertificateError(error) ? 'fatal' : 'bug';
}

/** A server certificate that can't be trusted (Node's manual, "X509 certificate error codes"). */
export function isCertificateError(error: unknown): boolean {
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
  [
    '42P07',
    'it is not ours: `ecompipe migrate --adopt` takes over a table events; move anything else to another schema (docs/migrating.md)',
  ],
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
  return error instanceof ConnectionLostError ? (error.hint ?? checkServer(error.cause)) : undefined;
}

function checkServer(cause: unknown): string {
  const check = 'check POSTGRES_HOST and POSTGRES_PORT (or DATABASE_URL), and that the server is running';
  const service = unknownShortName(cause);
  return service === undefined
    ? check
    : `${check}; if ${JSON.stringify(service)} is a service of Docker Compose, only its containers know that name, and paths ` +
        'such as PROCESSING_PATH are those inside them: on the host set POSTGRES_HOST=localhost';
}

/** The host that no name server knows, where it has no dots: such as `postgres` in an .env that was written for containers. */
function unknownShortName(cause: unknown): string | undefined {
  const { code, hostname } = (cause ?? {}) as { readonly code?: unknown; readonly hostname?: unknown };
  const isUnknown = code === 'ENOTFOUND' || code === 'EAI_AGAIN';
  return isUnknown && typeof hostname === 'string' && /^[\w-]+$/.test(hostname) ? hostname : undefined;
}

/** Somebody cancelled the statement: a person, or we ourselves when we were asked to stop. */
export function isCancelled(error: unknown): boolean {
  return sqlStateOf(error) === '57014';
}

/** The function of a user's own that raised an error, as the server names it; undefined when it was the server itself, or a function of ours. */
export function raisedIn(error: unknown): string | undefined {
  if (!(error instanceof pg.DatabaseError)) return undefined;
  const [innermost] = (error.where ?? '').split('\n').filter((line) => !/^(COPY|SQL statement|while) /.test(line));
  const place = /^\S+ function (?!ecompipe\.)\S+\([^)]*\)/.exec(innermost ?? '');
  return place?.[0];
}

/** The server's own words, with detail and SQLSTATE where there are any. */
export function serverMessage(error: unknown): string {
  if (error instanceof pg.DatabaseError)
    return printableLine([`${error.message} (SQLSTATE ${error.code ?? '?'})`, error.detail].filter(Boolean).join('; '));
  if (error instanceof AggregateError) return error.errors.map(serverMessage).join('; ');
  return error instanceof Error ? error.message : String(error);
}
