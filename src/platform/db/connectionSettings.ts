import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { ClientConfig } from 'pg';
import { parse as parseUrl } from 'pg-connection-string';
import { asFileError, UsageError } from '../errors.js';

/** libpq's `sslmode` (PostgreSQL manual, 32.19.3). */
export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** Database settings as parsed from the environment: all may be missing. */
export interface RawDatabaseSettings {
  readonly databaseUrl: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly database: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly sslMode: string | undefined;
  readonly sslRootCert: string | undefined;
}

/** A database to connect to. `password` is absent where pg finds it itself (PGPASSWORD, ~/.pgpass). */
export interface ConnectionSettings {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly sslMode: SslMode;
  readonly sslRootCert?: string;
}

/** libpq's own variables count as configuration too (PostgreSQL manual, 32.15). */
const LIBPQ_TARGETS = ['PGHOST', 'PGHOSTADDR', 'PGDATABASE', 'PGSERVICE'];

/**
 * Which database is meant, or undefined for the embedded one: DATABASE_URL, else POSTGRES_* completed by PG*.
 * @throws UsageError when DATABASE_URL is no PostgreSQL URL (the message never shows it: it may hold a password).
 */
export function resolveConnection(
  raw: RawDatabaseSettings,
  environment: NodeJS.ProcessEnv,
): ConnectionSettings | undefined {
  if (raw.databaseUrl !== undefined) return fromUrl(raw.databaseUrl, raw);
  const configured = [raw.host, raw.port, raw.database, raw.user].some((value) => value !== undefined);
  if (!configured && LIBPQ_TARGETS.every((name) => !environment[name])) return undefined;
  const user = raw.user ?? environment['PGUSER'] ?? environment['USER'] ?? 'postgres';
  return complete(
    {
      host: raw.host ?? environment['PGHOST'] ?? 'localhost',
      port: raw.port ?? portOf(environment),
      database: raw.database ?? environment['PGDATABASE'] ?? user,
      user,
      password: raw.password,
      sslMode: raw.sslMode ?? environment['PGSSLMODE'],
    },
    raw,
    environment,
  );
}

function portOf(environment: NodeJS.ProcessEnv): number {
  const text = environment['PGPORT'] || '5432';
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new UsageError([`PGPORT ${JSON.stringify(text)}: expected a whole number from 1 to 65535`]);
  return port;
}

function fromUrl(url: string, raw: RawDatabaseSettings): ConnectionSettings {
  if (!/^postgres(ql)?:\/\//.test(url))
    throw new UsageError(['DATABASE_URL: expected postgresql://user:password@host:port/database']);
  let parsed: ReturnType<typeof parseUrl>;
  let sslMode: string | null;
  let sslRootCert: string | null;
  try {
    const query = new URL(url).searchParams;
    sslMode = query.get('sslmode');
    sslRootCert = query.get('sslrootcert');
    // pg-connection-string gives its own meaning to these; ours is libpq's.
    parsed = parseUrl(url.replace(/([?&])(sslmode|sslrootcert)=[^&]*/g, '$1'));
  } catch {
    throw new UsageError([
      'DATABASE_URL: not a valid URL (special characters in the password must be percent-encoded)',
    ]);
  }
  const user = parsed.user || process.env['PGUSER'] || 'postgres';
  return complete(
    {
      host: parsed.host || 'localhost',
      port: Number(parsed.port || 5432),
      database: parsed.database ?? user,
      user,
      password: parsed.password,
      // Whoever asks for verification in whatever way gets it.
      sslMode: sslMode ?? raw.sslMode ?? process.env['PGSSLMODE'],
    },
    { ...raw, sslRootCert: sslRootCert ?? raw.sslRootCert },
    process.env,
  );
}

interface Incomplete {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string | undefined;
  readonly sslMode: string | undefined;
}

const SSL_MODES: ReadonlySet<string> = new Set<SslMode>([
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
]);

function complete(
  { password, sslMode, ...rest }: Incomplete,
  raw: RawDatabaseSettings,
  environment: NodeJS.ProcessEnv,
): ConnectionSettings {
  const mode = sslMode ?? 'prefer';
  if (!SSL_MODES.has(mode))
    throw new UsageError([`sslmode ${JSON.stringify(mode)}: expected one of ${[...SSL_MODES].join(', ')}`]);
  const sslRootCert = raw.sslRootCert ?? environment['PGSSLROOTCERT'];
  return {
    ...rest,
    ...(password === undefined ? {} : { password }),
    sslMode: mode as SslMode,
    ...(sslRootCert === undefined ? {} : { sslRootCert }),
  };
}

/** What pg's client needs, for one attempt with or without TLS. */
export function clientConfig(settings: ConnectionSettings, tls: boolean): ClientConfig {
  return {
    host: settings.host,
    port: settings.port,
    database: settings.database,
    user: settings.user,
    ...(settings.password === undefined ? {} : { password: settings.password }),
    ssl: tls ? tlsOptions(settings) : false,
    application_name: 'ecompipe',
    connectionTimeoutMillis: 10_000,
    // An idle connection is asked after so long, and given up some ten seconds later.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

function tlsOptions({ sslMode, sslRootCert, host }: ConnectionSettings): TlsOptions {
  const verify = sslMode === 'verify-ca' || sslMode === 'verify-full';
  const ca = sslRootCert === undefined ? {} : { ca: readCertificate(sslRootCert) };
  return {
    ...ca,
    rejectUnauthorized: verify,
    // RFC 6066 knows no addresses as server names; the certificate is checked against the host all the same.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    // verify-ca trusts the chain and not the name.
    ...(sslMode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  };
}

function readCertificate(file: string): string {
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (error) {
    throw asFileError(error, 'read the root certificate', file);
  }
  try {
    new X509Certificate(pem);
  } catch {
    throw new UsageError([
      `POSTGRES_SSLROOTCERT ${JSON.stringify(file)}: expected a file with certificates in PEM format`,
    ]);
  }
  return pem;
}

/** `host:port/database`, for people; never the password. */
export function describeConnection(settings: ConnectionSettings): string {
  return `${settings.host.startsWith('/') ? settings.host : `${settings.host}:${settings.port}`}/${settings.database}`;
}
