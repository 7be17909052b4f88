import { LOG_LEVELS, type LogFormat, type LogLevel } from '../platform/log.js';
import * as parse from '../platform/parsers.js';
import type { Setting, SettingTable } from '../platform/settings.js';
import { parseFaults } from '../pipeline/generate/faults/kinds.js';
import { parseProfile, parseStart } from '../pipeline/generate/parsers.js';
import { PROFILES } from '../pipeline/generate/profile.js';

/** Gives the entries of a table their precise types without repeating them. */
function setting<T>(definition: Setting<T>): Setting<T> {
  return definition;
}

const mebibytes = 2 ** 20;

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
    help: 'its password; without one PGPASSWORD and ~/.pgpass are asked',
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
    help: 'give up (exit 69) when the database has been away so long, such as 90s or 1h',
  }),
} satisfies SettingTable;

export const incomingDir = { env: 'INCOMING_PATH', default: 'data/incoming', parse: parse.directory } as const;
export const processingDir = { env: 'PROCESSING_PATH', default: 'data/processing', parse: parse.directory } as const;

/** Checks a text now, with all other settings, and leaves it a text. */
function checked(check: (raw: string) => unknown): (raw: string) => string {
  return (raw) => {
    check(raw);
    return raw;
  };
}

const positiveInteger = parse.optional(parse.integer(1));

export const generateSettings = {
  outputDir: setting({
    ...incomingDir,
    flag: '--output-dir',
    placeholder: '<dir>',
    help: 'directory that files appear in',
  }),
  intervalSeconds: setting<number | undefined>({
    flag: '--interval',
    placeholder: '<seconds>',
    env: 'ECOMPIPE_INTERVAL',
    default: undefined,
    defaultText: '5',
    parse: parse.optional(parse.decimal(0, 86_400)),
    help: 'time between files; 0: as fast as possible',
  }),
  batchSize: setting<number | undefined>({
    flag: '--batch-size',
    placeholder: '<events>',
    env: 'ECOMPIPE_BATCH_SIZE',
    default: undefined,
    defaultText: '10',
    parse: positiveInteger,
    help: 'events in a file',
  }),
  batches: setting<number | undefined>({
    flag: '--batches',
    placeholder: '<n>',
    env: 'ECOMPIPE_BATCHES',
    default: undefined,
    defaultText: 'no limit',
    parse: positiveInteger,
    help: 'stop after so many files',
  }),
  events: setting<number | undefined>({
    flag: '--events',
    placeholder: '<n>',
    env: 'ECOMPIPE_EVENTS',
    default: undefined,
    defaultText: 'no limit',
    parse: positiveInteger,
    help: 'stop after so many events',
  }),
  rate: setting<number | undefined>({
    flag: '--rate',
    placeholder: '<events/s>',
    env: 'ECOMPIPE_RATE',
    default: undefined,
    parse: parse.optional(parse.positive),
    help: 'events a second; sets --batch-size, or --interval when the size is given',
  }),
  seed: setting<number | undefined>({
    flag: '--seed',
    placeholder: '<n>',
    env: 'ECOMPIPE_SEED',
    default: undefined,
    defaultText: 'drawn and reported',
    parse: parse.optional(parse.integer(0)),
    help: 'with --start: the same bytes every time',
  }),
  start: setting<string | undefined>({
    flag: '--start',
    placeholder: '<time>',
    env: 'ECOMPIPE_START',
    default: undefined,
    defaultText: 'now; with --interval 0 four weeks ago',
    parse: parse.optional(checked(parseStart)),
    help: 'time of the first event, such as 2026-11-22T13:00:00Z',
  }),
  users: setting<number | undefined>({
    flag: '--users',
    placeholder: '<n>',
    env: 'ECOMPIPE_USERS',
    default: undefined,
    defaultText: 'as many as the events need',
    parse: positiveInteger,
    help: 'how many different users there are',
  }),
  products: setting<number | undefined>({
    flag: '--products',
    placeholder: '<n>',
    env: 'ECOMPIPE_PRODUCTS',
    default: undefined,
    defaultText: '10000',
    parse: positiveInteger,
    help: 'items in the catalogue',
  }),
  profile: setting<string | undefined>({
    flag: '--profile',
    placeholder: '<name>',
    env: 'ECOMPIPE_PROFILE',
    default: undefined,
    defaultText: 'default',
    parse: parse.optional(checked(parseProfile)),
    help: `kind of shop: ${Object.keys(PROFILES).join(', ')}`,
  }),
  dirt: setting<string | undefined>({
    flag: '--dirt',
    placeholder: '<kinds>',
    env: 'ECOMPIPE_DIRT',
    default: undefined,
    defaultText: 'clean',
    parse: parse.optional(checked(parseFaults)),
    help: 'clean, dirty, or faults by kind=rate,…',
  }),
  manifestDir: setting<string | undefined>({
    flag: '--manifest',
    placeholder: '<dir>',
    env: 'MANIFEST_PATH',
    default: undefined,
    defaultText: '.manifest in the output directory',
    parse: parse.optional(parse.directory),
    help: 'where to write what the database must contain afterwards',
  }),
} satisfies SettingTable;

export const moveSettings = {
  from: setting({ ...incomingDir, flag: '--from', placeholder: '<dir>', help: 'directory that producers write to' }),
  to: setting({ ...processingDir, flag: '--to', placeholder: '<dir>', help: 'directory that stream reads' }),
  once: setting({
    flag: '--once',
    env: 'ECOMPIPE_ONCE',
    default: false,
    parse: parse.boolean,
    help: 'move what is there and exit',
  }),
  settleMs: setting({
    flag: '--settle',
    placeholder: '<ms>',
    env: 'ECOMPIPE_SETTLE',
    default: 1000,
    parse: parse.integer(0),
    help: 'how long a file must be unchanged before it is taken for finished',
  }),
  maxBacklog: setting<number | undefined>({
    flag: '--max-backlog',
    placeholder: '<files>',
    env: 'ECOMPIPE_MAX_BACKLOG',
    default: undefined,
    defaultText: 'no limit',
    parse: parse.optional(parse.integer(1)),
    help: 'never let more files than this wait for stream',
  }),
} satisfies SettingTable;

export const AFTER_LOAD = ['archive', 'delete', 'keep'] as const;

export const loadSettings = {
  connections: setting({
    flag: '--connections',
    placeholder: '<n>',
    env: 'ECOMPIPE_CONNECTIONS',
    default: 2,
    parse: parse.integer(1, 64),
    help: 'database connections that load at once',
  }),
  batchBytes: setting({
    flag: '--batch-bytes',
    placeholder: '<size>',
    env: 'ECOMPIPE_BATCH_BYTES',
    default: 8 * mebibytes,
    defaultText: '8MiB',
    parse: parse.bytes(1024, 256 * mebibytes),
    help: 'bytes of CSV a transaction loads',
  }),
  afterLoad: setting<(typeof AFTER_LOAD)[number]>({
    flag: '--after-load',
    placeholder: '<action>',
    env: 'ECOMPIPE_AFTER_LOAD',
    default: 'archive',
    parse: parse.oneOf(...AFTER_LOAD),
    help: 'what becomes of a loaded file: archive, delete or keep',
  }),
  archiveDir: setting({
    flag: '--archive-dir',
    placeholder: '<dir>',
    env: 'ARCHIVE_PATH',
    default: 'data/archive',
    parse: parse.directory,
    help: 'where loaded files go',
  }),
  quarantineDir: setting({
    flag: '--quarantine-dir',
    placeholder: '<dir>',
    env: 'QUARANTINE_PATH',
    default: 'data/quarantine',
    parse: parse.directory,
    help: 'where files go that can not be read at all',
  }),
  checkpointDir: setting({
    flag: '--checkpoint',
    placeholder: '<dir>',
    env: 'CHECKPOINT_PATH',
    default: 'checkpoints',
    parse: parse.directory,
    help: 'directory of the checkpoint file; one stream owns it',
  }),
  maxRejected: setting<RejectLimit | undefined>({
    flag: '--max-rejected',
    placeholder: '<n|p%|none>',
    env: 'ECOMPIPE_MAX_REJECTED',
    default: undefined,
    defaultText: 'give up only a file that is mostly rejects',
    parse: parse.optional(parse.rejectLimit),
    help: 'stop (exit 4) when a file has more rejected rows than this; none: load whatever comes',
  }),
  atomicFile: setting({
    flag: '--atomic-file',
    env: 'ECOMPIPE_ATOMIC_FILE',
    default: false,
    parse: parse.boolean,
    help: 'load each file whole or not at all, in one transaction',
  }),
  strict: setting({
    flag: '--strict',
    env: 'ECOMPIPE_STRICT',
    default: false,
    parse: parse.boolean,
    help: 'exit 3 when any row was rejected or file quarantined',
  }),
} satisfies SettingTable;

export const sparkSettings = {
  engine: setting<'native' | 'spark'>({
    flag: '--engine',
    placeholder: '<engine>',
    env: 'ECOMPIPE_ENGINE',
    default: 'native',
    parse: parse.oneOf('native', 'spark'),
    help: 'native, or spark: Apache Spark, for more than one machine',
  }),
  master: setting({
    flag: '--master',
    placeholder: '<url>',
    env: 'ECOMPIPE_SPARK_MASTER',
    default: 'local[*]',
    parse: parse.text,
    help: 'spark: where it runs, such as local[2] or spark://host:7077',
  }),
  maxFilesPerTrigger: setting({
    flag: '--max-files-per-trigger',
    placeholder: '<n>',
    env: 'ECOMPIPE_MAX_FILES_PER_TRIGGER',
    default: 1000,
    parse: parse.integer(1, 100_000),
    help: 'spark: files in a micro-batch',
  }),
  triggerIntervalMs: setting({
    flag: '--trigger-interval',
    placeholder: '<time>',
    env: 'ECOMPIPE_TRIGGER_INTERVAL',
    default: 1000,
    defaultText: '1s',
    parse: parse.duration,
    help: 'spark: time between two looks at the directory',
  }),
  stageBytes: setting({
    flag: '--stage-bytes',
    placeholder: '<size>',
    env: 'ECOMPIPE_STAGE_BYTES',
    default: 64 * mebibytes,
    defaultText: '64MiB',
    parse: parse.bytes(mebibytes, 1024 * mebibytes),
    help: 'spark: bytes of CSV that executors stage for one transaction',
  }),
  jdbcDriver: setting<string | undefined>({
    flag: '--jdbc-driver',
    placeholder: '<jar>',
    env: 'ECOMPIPE_JDBC_DRIVER',
    default: undefined,
    defaultText: 'the one in jars/ of Spark, else fetched by Spark',
    parse: parse.optional(parse.directory),
    help: "spark: PostgreSQL's JDBC driver",
  }),
} satisfies SettingTable;

export const streamSettings = {
  inputDir: setting({
    ...processingDir,
    flag: '--input-dir',
    placeholder: '<dir>',
    help: 'directory with finished files',
  }),
  once: setting({
    flag: '--once',
    env: 'ECOMPIPE_ONCE',
    default: false,
    parse: parse.boolean,
    help: 'load what is there and exit',
  }),
  ...loadSettings,
} satisfies SettingTable;

type RejectLimit = ReturnType<typeof parse.rejectLimit>;
