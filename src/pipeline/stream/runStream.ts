import { assertUtf8 } from '../../platform/db/encoding.js';
import type { Database } from '../../platform/db/target.js';
import type { StageContext } from '../../platform/stage.js';
import { assertCheckpoint, CheckpointWriter, readIdentity } from './checkpoint.js';
import { ConnectionPool } from './connectionPool.js';
import { assertUsable } from './discover.js';
import type { StreamEvent, StreamResult, StreamSettings } from './streamEvents.js';
import { FileDisposer } from './fileDisposer.js';
import { IdleRefresh } from './idleRefresh.js';
import { FileLoader } from './fileLoader.js';
import { DirectPathBreaker } from './directPathBreaker.js';
import { ResultRecorder } from './resultRecorder.js';
import { takeOwnership } from '../../contract/streamOwner.js';
import { rejectLimits } from './rejectLimit.js';
import { openFeeds, type LoaderFeeds } from './feeds/loaderFeeds.js';
import { Target } from './targetTable.js';

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
  const finisher = new FileDisposer(settings);
  await finisher.prepare();
  return await withOwnership(settings, database, context, async (checkpoint, target, feeds) => {
    context.emit({ type: 'streamStarted', inputDir: settings.inputDir, database: database.label });
    const pool = new ConnectionPool(database, settings.connections);
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
        new ResultRecorder(pool, finisher, checkpoint, emit),
        { ...context, emit },
        refresh.whenIdle,
      ).run();
    } finally {
      await checkpoint.flush();
      await refresh.close();
      await pool.close();
    }
  });
}

type OwnedAction = (checkpoint: CheckpointWriter, target: Target, feeds: LoaderFeeds) => Promise<StreamResult>;

/**
 * The owner's lock lives as long as its connection. If that breaks, the loading goes on: ownership is a courtesy, the
 * ledger is what makes it safe.
 */
export async function withOwnership(
  settings: Pick<StreamSettings, 'checkpointDir' | 'table' | 'feeds'>,
  database: Database,
  context: StageContext<StreamEvent>,
  action: OwnedAction,
): Promise<StreamResult> {
  const { connection, checkpoint, target, feeds } = await database.retry('cannot start', async () => {
    const connection = await database.connect();
    try {
      await assertUtf8(connection);
      const identity = await readIdentity(connection);
      await assertCheckpoint(connection, settings.checkpointDir, identity, context.log);
      await takeOwnership(connection, settings.checkpointDir, context.stop);
      const target = await Target.open(connection, settings.table);
      return {
        connection,
        checkpoint: new CheckpointWriter(settings.checkpointDir, identity, context.log),
        target,
        feeds: await openFeeds(connection, settings.feeds ?? [], target),
      };
    } catch (error) {
      await connection.close();
      throw error;
    }
  });
  try {
    return await action(checkpoint, target, feeds);
  } finally {
    await connection.close();
  }
}
