import { isIP } from 'node:net';
import type pg from 'pg';
import { UsageError } from '../errors.js';
import type { AuthMethod, ConnectionSettings } from './connectionSettings.js';
import { internalsOf } from './pgInternals.js';

/** The handlers of pg that answer the server's request for a proof, by the method that it asks for. */
const HANDLERS = {
  _handleAuthCleartextPassword: 'password',
  _handleAuthMD5Password: 'md5',
  _handleAuthSASL: 'scram-sha-256',
} as const satisfies Record<string, AuthMethod>;

type GuardSettings = Pick<ConnectionSettings, 'requireAuth' | 'allowCleartextPassword' | 'host' | 'hostAddress'>;
type Handler = (...args: unknown[]) => unknown;

/**
 * Keeps a password from a server that may not have it: one that asks for it in a way that `require_auth` excludes, or in
 * clear text or by MD5 (as good as clear text to who listens) over a network without TLS.
 */
export function guardPassword(client: pg.Client, settings: GuardSettings, tls: boolean): void {
  const { connection } = internalsOf(client);
  const handlers = client as unknown as Record<string, Handler>;
  let asked = false;
  const refuse = (method: AuthMethod): boolean => {
    const refusal = refusalOf(method, settings, tls);
    if (refusal !== undefined) connection.emit('error', new UsageError([refusal]));
    return refusal !== undefined;
  };
  for (const [name, method] of Object.entries(HANDLERS)) {
    const handle = handlers[name];
    if (handle === undefined) throw new Error(`pg has no ${name} any more: its passwords are not guarded`);
    handlers[name] = (...args) => {
      asked = true;
      return refuse(method) ? undefined : handle.apply(client, args);
    };
  }
  connection.once('authenticationOk', () => {
    if (!asked) refuse('none');
  });
}

function refusalOf(method: AuthMethod, settings: GuardSettings, tls: boolean): string | undefined {
  const { requireAuth, allowCleartextPassword, host, hostAddress } = settings;
  if (requireAuth !== undefined && !requireAuth.includes(method))
    return `PostgreSQL at ${host}: the server asks for authentication by "${method}", and require_auth excludes that`;
  const isReadable = method === 'password' || method === 'md5';
  if (!isReadable || tls || allowCleartextPassword === true || isLocal(hostAddress ?? host)) return undefined;
  return (
    `PostgreSQL at ${host}: the server asks for the password ${method === 'md5' ? 'by MD5' : 'in clear text'} without ` +
    'TLS: use sslmode=verify-full, or SCRAM on the server, or set ECOMPIPE_ALLOW_CLEARTEXT_PASSWORD=1'
  );
}

/** A Unix socket or loopback: nothing listens on the way. */
function isLocal(host: string): boolean {
  return (
    host.startsWith('/') || host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  );
}
