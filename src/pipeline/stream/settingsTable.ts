import { UsageError } from '../../platform/errors.js';
import { InvalidValueError, setting, type SettingTable } from '../../platform/settings.js';
import * as parse from '../../platform/parsers.js';
import { processingDir, selectionSettings } from '../../contract/inputSettings.js';

/** How many rows of a file may be rejected: so many, or so large a share of its rows. */
export type RejectLimit = { readonly rows: number } | { readonly share: number } | 'none';

/** `100` → rows, `0.5%` → share, `none` → no limit at all. */
export function parseRejectLimit(raw: string): RejectLimit {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(raw);
  if (percent !== null && Number(percent[1]) <= 100) return { share: Number(percent[1]) / 100 };
  if (/^\d+$/.test(raw)) return { rows: Number(raw) };
  if (raw === 'none') return raw;
  throw new InvalidValueError('expected a number of rows, a percentage such as 0.5%, or none');
}

const mebibytes = 2 ** 20;

export const AFTER_LOAD = ['archive', 'delete', 'keep'] as const;

/** The settings of whatever loads, as flags and variables: `stream` and `run-all`. */
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
    help: 'where loaded files go, in a folder for each day',
  }),
  archiveGzip: setting({
    flag: '--archive-gzip',
    env: 'ECOMPIPE_ARCHIVE_GZIP',
    default: false,
    parse: parse.boolean,
    help: 'compress archived files: orders.csv becomes orders.csv.gz',
  }),
  quarantineDir: setting({
    flag: '--quarantine-dir',
    placeholder: '<dir>',
    env: 'QUARANTINE_PATH',
    default: 'data/quarantine',
    parse: parse.directory,
    help: 'where unreadable files go, in a folder for each day',
  }),
  checkpointDir: setting({
    flag: '--checkpoint',
    placeholder: '<dir>',
    env: 'CHECKPOINT_PATH',
    default: 'checkpoints',
    parse: parse.directoryOrUri,
    help: 'directory of the checkpoint file; one stream owns it',
  }),
  maxFileBytes: setting({
    flag: '--max-file-bytes',
    placeholder: '<size>',
    env: 'ECOMPIPE_MAX_FILE_BYTES',
    default: 2 ** 40,
    defaultText: '1TiB',
    parse: parse.bytes(1, Number.MAX_SAFE_INTEGER),
    help: 'quarantine files with more (decompressed) bytes than this',
  }),
  maxRejected: setting<RejectLimit | undefined>({
    flag: '--max-rejected',
    placeholder: '<n|p%|none>',
    env: 'ECOMPIPE_MAX_REJECTED',
    default: undefined,
    defaultText: 'give up only a file that is mostly rejects',
    parse: parse.optional(parseRejectLimit),
    help: 'stop (exit 4) when a file has more rejected rows than this; none: no limit',
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
    help: 'exit 3 when any row was rejected, file quarantined, or entry of the input directory left alone',
  }),
  ...selectionSettings,
} satisfies SettingTable;

/** @throws UsageError where nothing comes into the archive that could be compressed. */
export function assertArchives({
  archiveGzip = false,
  afterLoad,
}: {
  readonly archiveGzip?: boolean;
  readonly afterLoad: (typeof AFTER_LOAD)[number];
}): void {
  if (archiveGzip && afterLoad !== 'archive')
    throw new UsageError([
      `--archive-gzip: with --after-load ${afterLoad} no file is archived; leave one of the two out`,
    ]);
}

/** Where the jars are that the Spark engine starts with: what `spark prepare` makes and `stream` uses. */
export const sparkJarsSettings = {
  jdbcDriver: setting<string | undefined>({
    flag: '--jdbc-driver',
    placeholder: '<jar>',
    env: 'ECOMPIPE_JDBC_DRIVER',
    default: undefined,
    defaultText: 'the one in jars/ of Spark, else in --spark-jars, else fetched by Spark',
    parse: parse.optional(parse.directory),
    help: "spark: PostgreSQL's JDBC driver",
  }),
  sparkJars: setting<string | undefined>({
    flag: '--spark-jars',
    placeholder: '<dir>',
    env: 'ECOMPIPE_SPARK_JARS',
    default: undefined,
    defaultText: "the user's cache, filled at the first use",
    parse: parse.optional(parse.directory),
    help: 'spark: what `ecompipe spark prepare` made; nothing else is then compiled or fetched',
  }),
} satisfies SettingTable;

/** What only the Spark engine listens to. */
export const sparkSettings = {
  engine: setting<'native' | 'spark'>({
    flag: '--engine',
    placeholder: '<engine>',
    env: 'ECOMPIPE_ENGINE',
    default: 'native',
    parse: parse.oneOf('native', 'spark'),
    help: 'native, or spark: Apache Spark, for more than one machine',
  }),
  master: setting<string | undefined>({
    flag: '--master',
    placeholder: '<url>',
    env: 'ECOMPIPE_SPARK_MASTER',
    default: undefined,
    defaultText: "spark.master of Spark's own settings, else local[*]",
    parse: parse.optional(parse.text),
    help: 'spark: where it runs, such as local[2] or spark://host:7077',
  }),
  maxFilesPerTrigger: setting({
    flag: '--max-files-per-trigger',
    placeholder: '<n>',
    env: 'ECOMPIPE_MAX_FILES_PER_TRIGGER',
    default: 4000,
    parse: parse.integer(1, 100_000),
    help: 'spark: files in a micro-batch',
  }),
  maxBytesPerTrigger: setting<number | undefined>({
    flag: '--max-bytes-per-trigger',
    placeholder: '<size>',
    env: 'ECOMPIPE_MAX_BYTES_PER_TRIGGER',
    default: undefined,
    defaultText: '1GiB; 256MiB of a larger file',
    parse: parse.optional(parse.bytes(1, Number.MAX_SAFE_INTEGER)),
    help: 'spark: bytes of files, as delivered, in a micro-batch; a larger file is loaded in parts, over several',
  }),
  triggerIntervalMs: setting({
    flag: '--trigger-interval',
    placeholder: '<time>',
    env: 'ECOMPIPE_TRIGGER_INTERVAL',
    default: 1000,
    defaultText: '1s',
    parse: parse.duration,
    help: 'spark: time between two scans of the directory',
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
  ...sparkJarsSettings,
} satisfies SettingTable;

/** The settings of `stream`. */
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
