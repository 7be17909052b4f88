import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions as TlsOptions, SecureVersion } from 'node:tls';
import type { ClientConfig } from 'pg';
import { asFileError, UsageError } from '../errors.js';
import { parseConnectionUrl, readService, severalHosts } from './connectionUrl.js';
import { LIBPQ_KEYWORDS, refusalOf } from './libpqKeywords.js';
import { readPassfile } from './passfile.js';

/** libpq's `sslmode` (PostgreSQL manual, 32.19.3). */
export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** Database settings as parsed from the environment: all may be missing. */
export interface RawDatabaseSettings {
  /** `postgresql://user:password@host:port/database?sslmode=…`; wins over the parts below. @default none */
  readonly databaseUrl: string | undefined;
  /**
   * Host name, address, or directory of the Unix socket.
   * @default `PGHOST`, else `'localhost'`; without any setting the embedded server is meant
   */
  readonly host: string | undefined;
  /** TCP port. @default 5432 */
  readonly port: number | undefined;
  /** Name of the database. @default as the user */
  readonly database: string | undefined;
  /** Role to log in as. @default `PGUSER`, else `USER` */
  readonly user: string | undefined;
  /** Its password. @default `PGPASSWORD`, else what ~/.pgpass has */
  readonly password: string | undefined;
  /** libpq's `sslmode`. @default 'prefer' */
  readonly sslMode: string | undefined;
  /** File with the root certificates for verify-ca and verify-full. @default Node's own */
  readonly sslRootCert: string | undefined;
  /** Send the password without TLS to a server that asks for it in clear text or by MD5. @default false */
  readonly allowCleartextPassword?: boolean;
}

/** How a password is proved, by the names of libpq's `require_auth`. */
export type AuthMethod = 'none' | 'password' | 'md5' | 'scram-sha-256';

/** A database to connect to. `password` is absent where pg finds it itself (~/.pgpass). */
export interface ConnectionSettings {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly sslMode: SslMode;
  readonly sslRootCert?: string;
  /** The address to connect to, where it isn't to be looked up; certificates are checked against `host`. */
  readonly hostAddress?: string;
  /** The client's own certificate, its key, and the key's password. */
  readonly sslCert?: string;
  readonly sslKey?: string;
  readonly sslPassword?: string;
  readonly sslCrl?: string;
  readonly minTlsVersion?: SecureVersion;
  readonly maxTlsVersion?: SecureVersion;
  readonly requireAuth?: readonly AuthMethod[];
  /** A clear-text or MD5 password may go over a network without TLS. */
  readonly allowCleartextPassword?: boolean;
  /** Command-line options for the server's process, such as `-c work_mem=64MB`. */
  readonly options?: string;
  readonly applicationName?: string;
  /** 0: without limit. */
  readonly connectTimeoutMs?: number;
  /** What a person can do when the connection is lost, where that is not to check the settings. */
  readonly hintWhenLost?: string;
}

/** libpq's own variables count as configuration too (PostgreSQL manual, 34.15). */
const LIBPQ_TARGETS = ['PGHOST', 'PGHOSTADDR', 'PGDATABASE', 'PGSERVICE'];

/**
 * Which database is meant, or undefined for the embedded one: DATABASE_URL, else POSTGRES_*; then, as in libpq, the
 * service that is named, and PG*.
 * @throws UsageError for what is not supported: nothing that says which server, or how safely, is ever ignored. The
 * message never shows a URL: it may hold a password.
 */
export function resolveConnection(
  raw: RawDatabaseSettings,
  environment: NodeJS.ProcessEnv,
): ConnectionSettings | undefined {
  const configured = [raw.databaseUrl, raw.host, raw.port, raw.database, raw.user].some((value) => value !== undefined);
  if (!configured && LIBPQ_TARGETS.every((name) => !environment[name])) return undefined;
  const parameters = collect(raw, environment);
  const user = parameters.get('user') ?? environment['USER'] ?? 'postgres';
  const host = parameters.get('host') ?? parameters.get('hostaddr') ?? 'localhost';
  const port = Number(parameters.get('port') ?? '5432');
  const database = parameters.get('dbname') ?? user;
  const passfile = parameters.get('passfile');
  const password =
    parameters.get('password') ??
    (passfile === undefined ? undefined : readPassfile(passfile, { host, port, database, user }));
  return {
    host,
    port,
    database,
    user,
    ...(password === undefined ? {} : { password }),
    ...(raw.allowCleartextPassword === true ? { allowCleartextPassword: true } : {}),
    ...tlsSettings(parameters),
    ...furtherSettings(parameters),
  };
}

/** All that is said about the connection, by libpq's names. */
function collect(raw: RawDatabaseSettings, environment: NodeJS.ProcessEnv): Map<string, string> {
  const parameters = new Map<string, string>();
  const add = (keyword: string, value: string | undefined, source: string): void => {
    if (!value || parameters.has(keyword)) return;
    const refusal = refusalOf(keyword, value);
    if (refusal !== undefined) throw new UsageError([`${source}: ${refusal}`]);
    if (keyword === 'port' && !value.includes(',')) assertPort(value, source);
    parameters.set(keyword, value);
  };
  if (raw.databaseUrl === undefined) {
    add('host', raw.host, 'POSTGRES_HOST');
    add('port', raw.port?.toString(), 'POSTGRES_PORT');
    add('dbname', raw.database, 'POSTGRES_DB');
    add('user', raw.user, 'POSTGRES_USER');
    add('password', raw.password, 'POSTGRES_PASSWORD');
  } else {
    for (const [keyword, value] of parseConnectionUrl(raw.databaseUrl))
      add(keyword, value, `DATABASE_URL, parameter ${JSON.stringify(keyword)}`);
  }
  add('sslmode', raw.sslMode, 'POSTGRES_SSLMODE');
  add('sslrootcert', raw.sslRootCert, 'POSTGRES_SSLROOTCERT');
  const service = parameters.get('service') ?? (environment['PGSERVICE'] || undefined);
  if (service !== undefined) {
    const file = parameters.get('servicefile') ?? (environment['PGSERVICEFILE'] || undefined);
    for (const [keyword, value] of readService(service, file, environment))
      add(keyword, value, `service ${JSON.stringify(service)}, parameter ${JSON.stringify(keyword)}`);
  }
  for (const [keyword, { variable }] of Object.entries(LIBPQ_KEYWORDS))
    if (variable !== undefined) add(keyword, environment[variable], variable);
  for (const keyword of ['host', 'hostaddr', 'port'])
    if (parameters.get(keyword)?.includes(',')) throw new UsageError([severalHosts(keyword)]);
  return parameters;
}

/** Says where a wrong port comes from. */
function assertPort(text: string, source: string): void {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new UsageError([`${source} ${JSON.stringify(text)}: expected a whole number from 1 to 65535`]);
}

const SSL_MODES: ReadonlySet<string> = new Set<SslMode>([
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
]);

function tlsSettings(parameters: ReadonlyMap<string, string>): Pick<ConnectionSettings, 'sslMode' | 'sslRootCert'> {
  const rootCert = parameters.get('sslrootcert');
  const mode = parameters.get('sslmode') ?? (rootCert === 'system' ? 'verify-full' : 'prefer');
  if (!SSL_MODES.has(mode))
    throw new UsageError([`sslmode ${JSON.stringify(mode)}: expected one of ${[...SSL_MODES].join(', ')}`]);
  if (rootCert === 'system') {
    if (mode !== 'verify-full') throw new UsageError([`sslmode ${mode}: sslrootcert=system needs verify-full`]);
    return { sslMode: mode };
  }
  if (rootCert === undefined) return { sslMode: mode as SslMode };
  // As libpq: who names an authority wants it to be asked.
  return { sslMode: mode === 'require' ? 'verify-ca' : (mode as SslMode), sslRootCert: rootCert };
}

const TLS_VERSIONS: ReadonlySet<string> = new Set(['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']);

/** What most connections do without. */
function furtherSettings(parameters: ReadonlyMap<string, string>): Partial<ConnectionSettings> {
  const further: Record<string, unknown> = {};
  const hostAddress = parameters.get('hostaddr');
  if (hostAddress !== undefined) {
    if (isIP(hostAddress) === 0) throw new UsageError(['hostaddr: expected an IP address']);
    further['hostAddress'] = hostAddress;
  }
  const timeout = parameters.get('connect_timeout');
  if (timeout !== undefined) {
    if (!/^-?\d+$/.test(timeout)) throw new UsageError(['connect_timeout: expected a number of seconds']);
    further['connectTimeoutMs'] = Math.max(0, Number(timeout)) * 1000;
  }
  for (const [name, keyword] of [
    ['minTlsVersion', 'ssl_min_protocol_version'],
    ['maxTlsVersion', 'ssl_max_protocol_version'],
  ] as const) {
    const version = parameters.get(keyword);
    if (version === undefined) continue;
    if (!TLS_VERSIONS.has(version))
      throw new UsageError([`${keyword}: expected one of ${[...TLS_VERSIONS].join(', ')}`]);
    further[name] = version;
  }
  const requireAuth = parameters.get('require_auth');
  if (requireAuth !== undefined) further['requireAuth'] = parseRequiredAuth(requireAuth);
  const names = {
    options: 'options',
    sslCert: 'sslcert',
    sslKey: 'sslkey',
    sslPassword: 'sslpassword',
    sslCrl: 'sslcrl',
    applicationName: 'application_name',
  };
  for (const [name, keyword] of Object.entries(names)) {
    const value = parameters.get(keyword);
    if (value !== undefined) further[name] = value;
  }
  const fallbackName = parameters.get('fallback_application_name');
  if (fallbackName !== undefined) further['applicationName'] ??= fallbackName;
  return further;
}

/** The ways to prove who one is that we know, by libpq's names. */
const AUTH_METHODS: readonly AuthMethod[] = ['none', 'password', 'md5', 'scram-sha-256'];

function parseRequiredAuth(text: string): AuthMethod[] {
  const names = text.split(',').map((name) => name.trim());
  const negated = names.filter((name) => name.startsWith('!')).map((name) => name.slice(1));
  const wanted = negated.length > 0 ? negated : names;
  const isKnown = (name: string): boolean => AUTH_METHODS.includes(name as AuthMethod);
  if ((negated.length > 0 && negated.length < names.length) || (negated.length === 0 && !wanted.every(isKnown)))
    throw new UsageError([`require_auth: expected some of ${AUTH_METHODS.join(', ')}, all or none of them with a !`]);
  return AUTH_METHODS.filter((method) => wanted.includes(method) === (negated.length === 0));
}

/** What pg's client needs, for one attempt with or without TLS. */
export function clientConfig(settings: ConnectionSettings, tls: boolean): ClientConfig {
  return {
    host: settings.hostAddress ?? settings.host,
    port: settings.port,
    database: settings.database,
    user: settings.user,
    ...(settings.password === undefined ? {} : { password: settings.password }),
    ssl: tls ? tlsOptions(settings) : false,
    // What stands here keeps pg from looking into PG* itself: those were read already, or are another server's.
    client_encoding: 'UTF8',
    application_name: settings.applicationName ?? 'ecompipe',
    connectionTimeoutMillis: settings.connectTimeoutMs ?? 10_000,
    // An idle connection is asked after so long, and given up some ten seconds later.
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

function tlsOptions(settings: ConnectionSettings): TlsOptions {
  const { sslMode, host, sslRootCert, sslCert, sslKey, sslPassword, sslCrl } = settings;
  const verify = sslMode === 'verify-ca' || sslMode === 'verify-full';
  return {
    ...(sslRootCert === undefined ? {} : { ca: readCertificate(sslRootCert) }),
    ...(sslCert === undefined ? {} : { cert: readPem('client certificate', sslCert) }),
    ...(sslKey === undefined ? {} : { key: readPem('key', sslKey) }),
    ...(sslPassword === undefined ? {} : { passphrase: sslPassword }),
    ...(sslCrl === undefined ? {} : { crl: readPem('list of revoked certificates', sslCrl) }),
    ...(settings.minTlsVersion === undefined ? {} : { minVersion: settings.minTlsVersion }),
    ...(settings.maxTlsVersion === undefined ? {} : { maxVersion: settings.maxTlsVersion }),
    rejectUnauthorized: verify,
    // RFC 6066 knows no addresses as server names; the certificate is checked against the host all the same.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    // verify-ca trusts the chain and not the name.
    ...(sslMode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  };
}

function readPem(what: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw asFileError(error, `read the ${what}`, file);
  }
}

function readCertificate(file: string): string {
  const pem = readPem('root certificate', file);
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
