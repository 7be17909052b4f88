import { LOG_LEVELS, type LogFormat, type LogLevel } from '../core/runtime/log.js';
import * as parse from '../core/runtime/parsers.js';
import type { Setting, SettingTable } from '../core/runtime/settings.js';

/** Gives the entries of a table their precise types without repeating them. */
function setting<T>(definition: Setting<T>): Setting<T> {
  return definition;
}

const mebibytes = 2 ** 20;

export const globalSettings = {
  logLevel: setting<LogLevel>({ flag: '--log-level', placeholder: '<level>', env: 'ECOMPIPE_LOG_LEVEL', default: 'info', parse: parse.oneOf(...LOG_LEVELS), help: `how much is logged to stderr: ${LOG_LEVELS.join(', ')}` }),
  logFormat: setting<LogFormat>({ flag: '--log-format', placeholder: '<format>', env: 'ECOMPIPE_LOG_FORMAT', default: 'text', parse: parse.oneOf('text', 'json'), help: 'text for people, json for machines (one object a line)' }),
  json: setting({ flag: '--json', env: 'ECOMPIPE_JSON', default: false, parse: parse.boolean, help: 'print the result on stdout as one JSON document' }),
  quiet: setting({ flag: '--quiet', env: 'ECOMPIPE_QUIET', default: false, parse: parse.boolean, help: 'no progress, only warnings and errors' }),
} satisfies SettingTable;

/** Where PostgreSQL is. Never flags: a process list shows flags. Empty: the embedded server. */
export const databaseSettings = {
  databaseUrl: setting<string | undefined>({ env: 'DATABASE_URL', default: undefined, parse: parse.text, help: 'postgresql://user:password@host:port/database?sslmode=…; wins over POSTGRES_*' }),
  host: setting<string | undefined>({ env: 'POSTGRES_HOST', default: undefined, parse: parse.text, help: 'host name, address, or directory of the Unix socket' }),
  port: setting<number | undefined>({ env: 'POSTGRES_PORT', default: undefined, defaultText: '5432', parse: parse.optional(parse.integer(1, 65_535)), help: 'TCP port' }),
  database: setting<string | undefined>({ env: 'POSTGRES_DB', default: undefined, parse: parse.text, help: 'database name (default: as the user)' }),
  user: setting<string | undefined>({ env: 'POSTGRES_USER', default: undefined, parse: parse.text, help: 'role to log in as' }),
  password: setting<string | undefined>({ env: 'POSTGRES_PASSWORD', default: undefined, parse: parse.text, help: 'its password; without one PGPASSWORD and ~/.pgpass are asked' }),
  sslMode: setting<string | undefined>({ env: 'POSTGRES_SSLMODE', default: undefined, defaultText: 'prefer', parse: parse.optional(parse.oneOf('disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full')), help: 'disable, allow, prefer, require, verify-ca or verify-full' }),
  sslRootCert: setting<string | undefined>({ env: 'POSTGRES_SSLROOTCERT', default: undefined, parse: parse.directory, help: 'file with the root certificates for verify-ca and verify-full' }),
  embeddedDir: setting({ env: 'ECOMPIPE_EMBEDDED_DIR', default: '.ecompipe', parse: parse.directory, help: 'home of the embedded server, used when no database is configured' }),
  retryForMs: setting({ flag: '--retry-for', placeholder: '<seconds>', env: 'ECOMPIPE_RETRY_FOR', default: 60_000, defaultText: '60', parse: parse.seconds, help: 'give up (exit 69) when the database has been away so long' }),
} satisfies SettingTable;

export const incomingDir = { env: 'INCOMING_PATH', default: 'data/incoming', parse: parse.directory } as const;
export const processingDir = { env: 'PROCESSING_PATH', default: 'data/processing', parse: parse.directory } as const;

export const moveSettings = {
  from: setting({ ...incomingDir, flag: '--from', placeholder: '<dir>', help: 'directory that producers write to' }),
  to: setting({ ...processingDir, flag: '--to', placeholder: '<dir>', help: 'directory that stream reads' }),
  once: setting({ flag: '--once', env: 'ECOMPIPE_ONCE', default: false, parse: parse.boolean, help: 'move what is there and exit' }),
  settleMs: setting({ flag: '--settle', placeholder: '<ms>', env: 'ECOMPIPE_SETTLE', default: 1000, parse: parse.integer(0), help: 'a file that we did not publish ourselves must be unchanged so long' }),
  maxBacklog: setting<number | undefined>({ flag: '--max-backlog', placeholder: '<files>', env: 'ECOMPIPE_MAX_BACKLOG', default: undefined, defaultText: 'no limit', parse: parse.optional(parse.integer(1)), help: 'never let more files than this wait for stream' }),
} satisfies SettingTable;

export const AFTER_LOAD = ['archive', 'delete', 'keep'] as const;

export const loadSettings = {
  connections: setting({ flag: '--connections', placeholder: '<n>', env: 'ECOMPIPE_CONNECTIONS', default: 2, parse: parse.integer(1, 64), help: 'database connections that load at once' }),
  batchBytes: setting({ flag: '--batch-bytes', placeholder: '<size>', env: 'ECOMPIPE_BATCH_BYTES', default: 8 * mebibytes, defaultText: '8MiB', parse: parse.bytes(1024, 256 * mebibytes), help: 'bytes of CSV a transaction loads' }),
  afterLoad: setting<(typeof AFTER_LOAD)[number]>({ flag: '--after-load', placeholder: '<action>', env: 'ECOMPIPE_AFTER_LOAD', default: 'archive', parse: parse.oneOf(...AFTER_LOAD), help: 'what becomes of a loaded file: archive, delete or keep' }),
  archiveDir: setting({ flag: '--archive-dir', placeholder: '<dir>', env: 'ARCHIVE_PATH', default: 'data/archive', parse: parse.directory, help: 'where loaded files go' }),
  quarantineDir: setting({ flag: '--quarantine-dir', placeholder: '<dir>', env: 'QUARANTINE_PATH', default: 'data/quarantine', parse: parse.directory, help: 'where files go that can not be read at all' }),
  checkpointDir: setting({ flag: '--checkpoint', placeholder: '<dir>', env: 'CHECKPOINT_PATH', default: 'checkpoints', parse: parse.directory, help: 'directory of the checkpoint file; one stream owns it' }),
  maxRejected: setting<RejectLimit | undefined>({ flag: '--max-rejected', placeholder: '<n|p%>', env: 'ECOMPIPE_MAX_REJECTED', default: undefined, defaultText: 'no limit', parse: parse.optional(parse.rejectLimit), help: 'stop (exit 4) when a file has more rejected rows than this' }),
  atomicFile: setting({ flag: '--atomic-file', env: 'ECOMPIPE_ATOMIC_FILE', default: false, parse: parse.boolean, help: 'load each file whole or not at all, in one transaction' }),
  strict: setting({ flag: '--strict', env: 'ECOMPIPE_STRICT', default: false, parse: parse.boolean, help: 'exit 3 when any row was rejected or file quarantined' }),
} satisfies SettingTable;

export const streamSettings = {
  inputDir: setting({ ...processingDir, flag: '--input-dir', placeholder: '<dir>', help: 'directory with finished files' }),
  once: setting({ flag: '--once', env: 'ECOMPIPE_ONCE', default: false, parse: parse.boolean, help: 'load what is there and exit' }),
  ...loadSettings,
} satisfies SettingTable;

type RejectLimit = ReturnType<typeof parse.rejectLimit>;
