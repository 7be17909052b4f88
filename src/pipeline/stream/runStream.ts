import type { Connection } from '../../platform/db/client.js';
import { assertUtf8 } from '../../platform/db/encoding.js';
import type { Database } from '../../platform/db/target.js';
import type { StageContext } from '../../platform/stage.js';
import { assertCheckpoint, CheckpointWriter, readIdentity } from './checkpoint.js';
import { DirectoryCheckpoint, type CheckpointStore } from './checkpointStore.js';
import { withCompressor, type ArchiveCompressor } from './archiveCompressor.js';
import { assertArchives } from './settingsTable.js';
import { ConnectionPool } from './connectionPool.js';
import { assertUsable } from './discover.js';
import type { StreamEvent, StreamResult, StreamSettings } from './streamEvents.js';
import { FileDisposer } from './fileDisposer.js';
import { IdleRefresh } from './idleRefresh.js';
import { FileLoader } from './fileLoader.js';
import { DirectPathBreaker } from './directPathBreaker.js';
import { Ownership } from './ownership.js';
import { ResultRecorder } from './resultRecorder.js';
import { takeOwnership } from '../../contract/streamOwner.js';
import { rejectLimits } from './rejectLimit.js';
import type { FileSelection } from '../../contract/leftAlone.js';
import { openFeeds, type LoaderFeeds } from './feeds/loaderFeeds.js';
import { Target } from './targetTable.js';
import { createLossExplainer } from './lostCommits.js';
import { Witness } from './witness.js';

/**
 * Loads the files of a directory into PostgreSQL, exactly once, until stopped or drained.
 *
 * Start: the directory is usable, this is the only stream with its checkpoint directory, and the checkpoint does not
 * contradict the ledger. End: what is open is committed or rolled back, and the checkpoint is on disk.
 *
 * @throws FileError, AlreadyRunningError (5), IntegrityError (6), RejectLimitError (4), DatabaseError (2, 69, 77), FilesNotLoadedError (74).
 */
export async function runStream(
  settings: StreamSettings,
  database: Database,
  context: StageContext<StreamEvent>,
): Promise<StreamResult> {
  await assertUsable(settings.inputDir, settings.afterLoad !== 'keep');
  assertArchives(settings);
  return await withCompressor(settings, context, (compressor) => load(settings, database, context, compressor));
}

async function load(
  settings: StreamSettings,
  database: Database,
  context: StageContext<StreamEvent>,
  compressor: ArchiveCompressor | undefined,
): Promise<StreamResult> {
  const disposer = new FileDisposer(settings, compressor);
  await disposer.prepare();
  const store = await DirectoryCheckpoint.open(settings.checkpointDir);
  return await withOwnership(settings, store, database, context, async (checkpoint, target, feeds, pool, stop) => {
    context.emit({ type: 'streamStarted', inputDir: settings.inputDir, database: database.label });
    compressor?.resume();
    const loader = {
      inputDir: settings.inputDir,
      pool,
      target,
      feeds,
      breaker: new DirectPathBreaker(),
      limits: rejectLimits(settings),
    };
    const refresh = new IdleRefresh(database, context.log);
    const emit = (event: StreamEvent): void => {
      if (event.type === 'batchCommitted') refresh.committed();
      context.emit(event);
    };
    try {
      return await new FileLoader(
        settings,
        loader,
        new ResultRecorder(pool, disposer, checkpoint, emit),
        { ...context, emit, stop },
        refresh.whenIdle,
      ).run();
    } finally {
      await checkpoint.flush();
      await refresh.close();
    }
  });
}

type OwnedAction = (
  checkpoint: CheckpointWriter,
  target: Target,
  feeds: LoaderFeeds,
  pool: ConnectionPool,
  /** Also aborts when another stream has taken the ownership. */
  stop: AbortSignal,
) => Promise<StreamResult>;

type OwnerSettings = Pick<
  StreamSettings,
  | 'connections'
  | 'table'
  | 'feeds'
  | 'inputDir'
  | 'afterLoad'
  | 'archiveDir'
  | 'quarantineDir'
  | 'reloadFromArchive'
  | keyof FileSelection
>;

/** Runs a stream as the only one with its checkpoint: see Ownership. */
export async function withOwnership(
  settings: OwnerSettings,
  store: CheckpointStore,
  database: Database,
  context: StageContext<StreamEvent>,
  action: OwnedAction,
): Promise<StreamResult> {
  const { connection, checkpoint, target, feeds, witness } = await database.retry('cannot start', async () => {
    const connection = await database.connect();
    try {
      await assertUtf8(connection);
      const identity = await readIdentity(connection);
      // Else the batches that it saw are what is to be found missing.
      const seen =
        settings.reloadFromArchive === true
          ? undefined
          : await assertCheckpoint(connection, store, settings, identity, context.log);
      await takeOwnership(connection, store, context.stop);
      const witness = seen ?? (await reload(connection, store, settings, context));
      const target = await Target.open(connection, settings.table);
      return {
        connection,
        witness,
        checkpoint: new CheckpointWriter(store, identity, witness, context.log),
        target,
        feeds: await openFeeds(connection, settings.feeds ?? [], target),
      };
    } catch (error) {
      await connection.close();
      throw error;
    }
  });
  const ownership = new Ownership(connection, store, database, context.log);
  // Behind a lost connection may be an older state of the database, or another one in its place.
  const pool = new ConnectionPool(database, settings.connections, async (connection) => {
    await witness.assertKnown(connection);
    await feeds.enter(connection);
  });
  try {
    const stop = AbortSignal.any([context.stop, ownership.taken]);
    const result = await action(checkpoint, target, feeds, pool, stop);
    ownership.throwIfTaken();
    return result;
  } finally {
    await pool.close();
    await ownership.close();
  }
}

/** Puts back what the ledger does not have; whatever was seen before counts no more, and the checkpoint is written anew. */
async function reload(
  connection: Connection,
  store: CheckpointStore,
  settings: OwnerSettings,
  { stop, emit }: StageContext<StreamEvent>,
): Promise<Witness> {
  const { reloadFromArchive } = await import('./reloadFromArchive.js');
  for (const returned of await reloadFromArchive(connection, settings, stop)) {
    const isAsked = returned.directory === settings.archiveDir;
    if (isAsked || returned.files > 0) emit({ type: 'filesReturned', ...returned });
  }
  await store.remove();
  return new Witness([], createLossExplainer(settings));
}
