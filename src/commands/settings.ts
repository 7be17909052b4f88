import { LOG_LEVELS, type LogFormat, type LogLevel } from '../platform/log.js';
import * as parse from '../platform/parsers.js';
import { setting, type SettingTable } from '../platform/settings.js';

export const globalSettings = {
  logLevel: setting<LogLevel>({
    flag: '--log-level',
    placeholder: '<level>',
    env: 'ECOMPIPE_LOG_LEVEL',
    default: 'info',
    parse: parse.oneOf(...LOG_LEVELS),
    help: `how much is logged to stderr: ${LOG_LEVELS.join(', ')}`,
  }),
  logFormat: setting<LogFormat>({
    flag: '--log-format',
    placeholder: '<format>',
    env: 'ECOMPIPE_LOG_FORMAT',
    default: 'text',
    parse: parse.oneOf('text', 'json'),
    help: 'text for people, json for machines (one object a line)',
  }),
  json: setting({
    flag: '--json',
    env: 'ECOMPIPE_JSON',
    default: false,
    parse: parse.boolean,
    help: 'print the result on stdout as one JSON document',
  }),
  quiet: setting({
    flag: '--quiet',
    env: 'ECOMPIPE_QUIET',
    default: false,
    parse: parse.boolean,
    help: 'no progress, only warnings and errors',
  }),
} satisfies SettingTable;

/** Where PostgreSQL is. Never flags: a process list shows flags. Empty: the embedded server. */
export const connectionSettings = {
  databaseUrl: setting<string | undefined>({
    env: 'DATABASE_URL',
    default: undefined,
    parse: parse.text,
    help: 'postgresql://user:password@host:port/database?sslmode=…; wins over POSTGRES_*',
  }),
  host: setting<string | undefined>({
    env: 'POSTGRES_HOST',
    default: undefined,
    parse: parse.text,
    help: 'host name, address, or directory of the Unix socket',
  }),
  port: setting<number | undefined>({
    env: 'POSTGRES_PORT',
    default: undefined,
    defaultText: '5432',
    parse: parse.optional(parse.integer(1, 65_535)),
    help: 'TCP port',
  }),
  database: setting<string | undefined>({
    env: 'POSTGRES_DB',
    default: undefined,
    parse: parse.text,
    help: 'database name (default: as the user)',
  }),
  user: setting<string | undefined>({
    env: 'POSTGRES_USER',
    default: undefined,
    parse: parse.text,
    help: 'role to log in as',
  }),
  password: setting<string | undefined>({
    env: 'POSTGRES_PASSWORD',
    default: undefined,
    parse: parse.text,
    help: 'its password; without one, PGPASSWORD and ~/.pgpass are used',
  }),
  sslMode: setting<string | undefined>({
    env: 'POSTGRES_SSLMODE',
    default: undefined,
    defaultText: 'prefer',
    parse: parse.optional(parse.oneOf('disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full')),
    help: 'disable, allow, prefer, require, verify-ca or verify-full',
  }),
  sslRootCert: setting<string | undefined>({
    env: 'POSTGRES_SSLROOTCERT',
    default: undefined,
    parse: parse.directory,
    help: 'file with the root certificates for verify-ca and verify-full',
  }),
  allowCleartextPassword: setting({
    env: 'ECOMPIPE_ALLOW_CLEARTEXT_PASSWORD',
    default: false,
    parse: parse.boolean,
    help: 'send the password without TLS to a server that asks for it in clear text or by MD5',
  }),
  embeddedDir: setting({
    env: 'ECOMPIPE_EMBEDDED_DIR',
    default: '.ecompipe',
    parse: parse.directory,
    help: 'home of the embedded server, used when no database is configured',
  }),
} satisfies SettingTable;

export const databaseSettings = {
  ...connectionSettings,
  retryForMs: setting({
    flag: '--retry-for',
    placeholder: '<time>',
    env: 'ECOMPIPE_RETRY_FOR',
    default: 60_000,
    defaultText: '60s',
    parse: parse.duration,
    help: 'give up (exit 69) when the database has been away this long, such as 90s or 1h',
  }),
} satisfies SettingTable;
