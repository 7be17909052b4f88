import path from 'node:path';
import type { Database } from '../../../platform/db/target.js';
import { Failures } from '../../../platform/files/failures.js';
import { UsageError } from '../../../platform/errors.js';
import { belowUri, isUri } from '../../../platform/files/uri.js';
import type { StageContext } from '../../../platform/stage.js';
import { withCompressor, type ArchiveCompressor } from '../archiveCompressor.js';
import { InputListing } from '../discover.js';
import type { StreamEvent, StreamResult, StreamSettings } from '../streamEvents.js';
import { listOptions } from '../../../contract/listFiles.js';
import type { CheckpointWriter } from '../checkpoint.js';
import { DirectoryCheckpoint, type CheckpointStore } from '../checkpointStore.js';
import { FileDisposer } from '../fileDisposer.js';
import { IdleRefresh } from '../idleRefresh.js';
import { DirectPathBreaker } from '../directPathBreaker.js';
import { FilesNotLoadedError, NOTHING_LOADED, ResultRecorder } from '../resultRecorder.js';
import { rejectLimits } from '../rejectLimit.js';
import type { LoaderContext } from '../runBatch.js';
import { withOwnership } from '../runStream.js';
import { AttachedDriver, driverSocket } from './attachedDriver.js';
import type { Driver } from './driver.js';
import { DriverProcess } from './driverProcess.js';
import { selectionOf } from './selection.js';
import { findSpark } from './installation.js';
import { withClassArchive } from './classArchive.js';
import { findJdbcDriver, jdbcOptions } from './jdbc.js';
import { jarsDirectory, jobJar } from './jobJar.js';
import type { UnitContext } from './loadUnits.js';
import type { Inspection, ToJob } from './messages.js';
import { MicroBatch } from './microBatch.js';
import { placeOf, RemoteFileDisposer } from './remoteFileDisposer.js';
import { RemoteCheckpoint } from './remoteCheckpoint.js';
import { reachMaster } from './reachMaster.js';
import { readSparkConf } from './sparkConf.js';
import { StageTables } from './stageTables.js';
import { assertArchives } from '../settingsTable.js';
import { assertClientMode, masterOf } from './submit.js';

/** What the Spark engine needs to know besides what both do. */
export interface SparkSettings extends StreamSettings {
  /** Spark's master: `local[2]`, `spark://host:7077`, `yarn`, `k8s://…` (client mode); undefined: what Spark's settings say. */
  readonly master: string | undefined;
  /** Flags for spark-submit, such as `--conf name=value`. */
  readonly sparkFlags: readonly string[];
  /** Files that one micro-batch takes. */
  readonly maxFilesPerTrigger: number;
  /** Bytes of files, as delivered, that one micro-batch takes; of a larger file a part. */
  readonly maxBytesPerTrigger: number | undefined;
  /** Time between two looks at the directory, in milliseconds. */
  readonly triggerIntervalMs: number;
  /** Bytes of CSV that the executors stage for one transaction. */
  readonly stageBytes: number;
  readonly jdbcDriver: string | undefined;
  /** Where `ecompipe spark prepare` has put the job and the driver; undefined: the user's cache. */
  readonly sparkJars: string | undefined;
  /** How long a master that can't be reached is waited for, in milliseconds. */
  readonly retryForMs: number;
}

/** A file of more bytes than a micro-batch takes, or than this where there is no limit, is loaded in parts of so many. */
const LARGE_FILE_BYTES = 256 * 2 ** 20;

/** What one micro-batch takes where there is no limit: its files are inspected before the first of them is loaded. */
const BATCH_BYTES = 2 ** 30;

/** What an executor reads, frames and copies at a time, in bytes. */
const PIECE_BYTES = 4 * 2 ** 20;

/**
 * The same as runStream, on Apache Spark. Structured Streaming finds the files and makes micro-batches of them; executors
 * read, hash and cut the files and stage their rows in unlogged tables; here, in the process that started the driver, one
 * transaction a unit brings the rows into the table and writes the ledger, with the code of the native engine. Spark's
 * checkpoint only says which files it was about: a micro-batch that comes again finds them in the ledger.
 *
 * @throws SparkError (69) and what runStream throws.
 */
export async function runSparkStream(
  settings: SparkSettings,
  database: Database,
  context: StageContext<StreamEvent>,
): Promise<StreamResult> {
  assertOneFileSystem(settings);
  assertArchives(settings);
  if (settings.archiveGzip === true && isUri(settings.inputDir))
    throw new UsageError(['--archive-gzip needs local directories: the Spark job moves files as they are']);
  const openDriver = await prepareDriver(settings, context);
  return await withCompressor(settings, context, (compressor) =>
    run(settings, openDriver, compressor, database, context),
  );
}

async function run(
  settings: SparkSettings,
  openDriver: () => Driver | Promise<Driver>,
  compressor: ArchiveCompressor | undefined,
  database: Database,
  context: StageContext<StreamEvent>,
): Promise<StreamResult> {
  const local = isUri(settings.inputDir) ? undefined : new FileDisposer(settings, compressor);
  await local?.prepare();
  const { checkpointDir } = settings;
  // It takes seconds to start: where it need not say what is in the checkpoint, only when the lock is ours.
  let driver = isUri(checkpointDir) ? await openDriver() : undefined;
  try {
    const store =
      driver === undefined
        ? await DirectoryCheckpoint.open(checkpointDir)
        : await reachCheckpoint(checkpointDir, driver, context);
    if (store === undefined) return NOTHING_LOADED;
    return await withOwnership(settings, store, database, context, async (checkpoint, target, feeds, pool, stop) => {
      driver ??= await openDriver();
      compressor?.resume();
      const loader = {
        inputDir: undefined,
        pool,
        target,
        feeds,
        breaker: new DirectPathBreaker(),
        limits: rejectLimits(settings),
      };
      return await load(settings, driver, local, loader, checkpoint, database, { ...context, stop });
    });
  } finally {
    // Who loads closes it while the lock is held; this is for a lock, or a checkpoint, that was not ours.
    await driver?.close();
  }
}

/** Loads by this driver, as the owner of the checkpoint. */
async function load(
  settings: SparkSettings,
  driver: Driver,
  local: FileDisposer | undefined,
  loader: LoaderContext,
  checkpoint: CheckpointWriter,
  database: Database,
  context: StageContext<StreamEvent>,
): Promise<StreamResult> {
  const { checkpointDir } = settings;
  const alive = await database.connect();
  const refresh = new IdleRefresh(database, context.log);
  const emit = (event: StreamEvent): void => {
    if (event.type === 'batchCommitted') refresh.committed();
    context.emit(event);
  };
  try {
    if (local !== undefined) await reportLeftAlone(settings, emit);
    const tables = new StageTables(loader.pool, loader.target, context.log);
    await tables.open(alive);
    const disposer = local ?? new RemoteFileDisposer(settings, driver);
    const outcomes = new ResultRecorder(loader.pool, disposer, checkpoint, emit);
    const units = { driver, database, tables, loader, merges: settings.connections, stop: context.stop };
    return await new SparkRun(settings, units, outcomes, checkpoint, { ...context, emit }).run({
      inputDir: placeOf(settings.inputDir),
      // As a path it would be one of `fs.defaultFS`.
      checkpointDir: belowUri(isUri(checkpointDir) ? checkpointDir : `file://${path.resolve(checkpointDir)}`, 'spark'),
      selection: selectionOf(settings),
      database: jdbcOptions(database.settings, alive),
    });
  } finally {
    await checkpoint.flush();
    await driver.close();
    await refresh.close();
    await alive.close();
  }
}

/** Waits until the driver can reach a checkpoint at a URI. @returns undefined when it was stopped meanwhile. */
async function reachCheckpoint(
  uri: string,
  driver: Driver,
  { stop }: StageContext<StreamEvent>,
): Promise<CheckpointStore | undefined> {
  const onStop = (): void => driver.stop();
  stop.addEventListener('abort', onStop, { once: true });
  if (stop.aborted) onStop();
  try {
    return await RemoteCheckpoint.open(uri, driver);
  } catch (error) {
    if (stop.aborted && driver.isGone) return undefined;
    throw error;
  } finally {
    stop.removeEventListener('abort', onStop);
  }
}

/** Finds what the driver consists of, and checks what it is told; or the driver that has started us. */
async function prepareDriver(
  settings: SparkSettings,
  context: StageContext<StreamEvent>,
): Promise<() => Driver | Promise<Driver>> {
  const { log } = context;
  const socket = driverSocket(process.env);
  if (socket !== undefined) return () => AttachedDriver.attach(socket, log);
  const { master, sparkFlags, jdbcDriver, sparkJars, retryForMs } = settings;
  const spark = await findSpark(process.env);
  const conf = readSparkConf(spark, sparkFlags, process.env);
  assertClientMode(conf, process.env);
  const jars = jarsDirectory(sparkJars, process.env);
  const bare = {
    spark,
    master,
    conf,
    jdbcDriver: findJdbcDriver(jdbcDriver, spark, jars, conf),
    jar: await jobJar(spark, jars, process.env, log),
  };
  await reachMaster(masterOf(bare, process.env), retryForMs, context);
  const driver = await withClassArchive(bare, jars, process.env, context);
  return () => new DriverProcess(driver, process.env, log);
}

/** Spark lists the files itself and says nothing of the others; what comes later is counted by `ecompipe status`. */
async function reportLeftAlone(settings: StreamSettings, emit: (event: StreamEvent) => void): Promise<void> {
  await new InputListing(settings.inputDir, listOptions(settings), emit).next(() => false);
}

/** Files leave a URI for another one: neither side could move them from one file system to the other. */
function assertOneFileSystem({ inputDir, afterLoad, archiveDir, quarantineDir }: StreamSettings): void {
  const needed = {
    '--quarantine-dir': quarantineDir,
    ...(afterLoad === 'archive' ? { '--archive-dir': archiveDir } : {}),
  };
  const problems = Object.entries(needed).filter(([, directory]) => isUri(directory) !== isUri(inputDir));
  if (problems.length === 0) return;
  const kind = isUri(inputDir) ? `a URI, as --input-dir ${inputDir} is` : `a path, as --input-dir ${inputDir} is`;
  throw new UsageError(problems.map(([flag, directory]) => `${flag} ${JSON.stringify(directory)}: expected ${kind}`));
}

/** A run of the driver, from its first message to its end. */
class SparkRun {
  private readonly failures = new Failures();
  private readonly largeBytes: number;
  private isInBatch = false;

  constructor(
    private readonly settings: SparkSettings,
    private readonly engine: UnitContext,
    private readonly outcomes: ResultRecorder,
    private readonly checkpoint: CheckpointWriter,
    private readonly context: StageContext<StreamEvent>,
  ) {
    this.largeBytes = settings.maxBytesPerTrigger ?? LARGE_FILE_BYTES;
  }

  async run(
    start: Pick<Extract<ToJob, { type: 'start' }>, 'inputDir' | 'checkpointDir' | 'selection' | 'database'>,
  ): Promise<StreamResult> {
    const { driver } = this.engine;
    const { stop, drain, emit } = this.context;
    // An idle driver is told at once; a busy one when its batch is done.
    const onStop = (): void => {
      if (!this.isInBatch) driver.stop();
    };
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    try {
      await driver.ready();
      driver.send({
        type: 'start',
        ...start,
        once: drain.aborted,
        maxFiles: this.settings.maxFilesPerTrigger,
        maxBytes: this.settings.maxBytesPerTrigger ?? BATCH_BYTES,
        largeBytes: this.largeBytes,
        triggerMs: this.settings.triggerIntervalMs,
        pieceBytes: PIECE_BYTES,
        maxFileBytes: this.settings.maxFileBytes,
      });
      for (;;) {
        const message = await driver.next();
        if (message.type === 'started')
          emit({ type: 'streamStarted', inputDir: this.settings.inputDir, database: this.engine.database.label });
        else if (message.type === 'batch') await this.batch(message.files);
        else if (message.type === 'finished') return this.finish();
      }
    } catch (error) {
      if (stop.aborted && this.engine.driver.isGone) return this.outcomes.result;
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  private async batch(files: readonly Inspection[]): Promise<void> {
    this.isInBatch = true;
    const batch = new MicroBatch(
      this.engine,
      this.outcomes,
      this.failures,
      { ...this.settings, largeBytes: this.largeBytes },
      this.context.emit,
      this.context.drain.aborted,
    );
    const leave = await batch.load(files);
    // Afterwards the driver may be gone, and with it the way to a checkpoint that only it reaches.
    await this.checkpoint.flush();
    this.engine.driver.send({ type: 'done', leave });
    this.isInBatch = false;
    if (this.context.stop.aborted) this.engine.driver.stop();
  }

  private finish(): StreamResult {
    const { result } = this.outcomes;
    const failed = this.failures.all();
    if (this.context.drain.aborted && !this.context.stop.aborted && failed.length > 0)
      throw new FilesNotLoadedError(failed, result);
    return result;
  }
}
