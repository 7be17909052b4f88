import type { readBacklog as readBacklogOf } from '../contract/backlog.js';
import { listOptions, type ListOptions } from '../contract/listFiles.js';
import { incomingDir } from '../contract/inputSettings.js';
import { EXIT, UsageError } from '../platform/errors.js';
import * as parse from '../platform/parsers.js';
import { setting } from '../platform/settings.js';
import { demoteProgress } from '../platform/log.js';
import { wrapFor } from '../platform/terminal.js';
import { recordEvents } from '../platform/stageEvents.js';
import type { StreamFigures } from '../pipeline/stream/streamEventTable.js';
import type { LeftBehind } from '../pipeline/stream/describeStream.js';
import type { StreamEvents } from '../pipeline/stream/streamEventTable.js';
import type { StreamEvent, StreamSettings } from '../pipeline/stream/streamEvents.js';
import type { Database } from '../platform/db/target.js';
import type { Logger } from '../platform/log.js';
import { defineCommand } from './command.js';
import { metricsSettings } from './metrics.js';
import { notifySettings, withWatchers, type WatchOptions } from './notify.js';
import { feedSettings, loadFeeds } from './feedSettings.js';
import { demoteRejects } from './rejectReport.js';
import { databaseSettings } from './settings.js';
import { assertArchives, sparkSettings, streamSettings } from '../pipeline/stream/settingsTable.js';

const retention = setting({
  flag: '--retention',
  placeholder: '<age>',
  env: 'ECOMPIPE_RETENTION',
  default: undefined,
  parse: parse.optional(parse.age),
  help: 'prune what is older, such as 90d, every hour (see ecompipe prune); not with --once; default: keep everything',
});

const reloadFromArchive = setting({
  flag: '--reload-from-archive',
  env: 'ECOMPIPE_RELOAD_FROM_ARCHIVE',
  default: false,
  parse: parse.boolean,
  help: 'after the database lost commits: first put back archived and quarantined files that its ledger does not have',
});

/** Only matters where the system doesn't tell about new files (network file systems). */
const POLL_INTERVAL_MS = 1000;

export const stream = defineCommand({
  name: 'stream',
  args: '[spark-flags...]',
  summary: 'load processing/ into PostgreSQL, exactly once',
  whenStopped: 'finishing the open batch',
  settings: {
    ...databaseSettings,
    ...streamSettings,
    checkpointDir: {
      ...streamSettings.checkpointDir,
      help: 'directory of the checkpoint file; one stream owns it. With --engine spark also a URI, such as hdfs:///…',
    },
    retention,
    reloadFromArchive,
    incomingDir: {
      ...incomingDir,
      flag: '--incoming-dir',
      placeholder: '<dir>',
      help: 'where files wait for `move`; only read to report them',
    },
    ...feedSettings,
    ...sparkSettings,
    ...metricsSettings,
    ...notifySettings,
  },
  examples: [
    ['ecompipe stream', 'load files as they come until stopped'],
    ['ecompipe stream --once', 'load what is there and exit (for cron)'],
    ['ecompipe stream --once --strict --max-rejected 1%', 'and fail when rows are rejected'],
    ['ecompipe stream --once --feed rees46', 'files of a known source, too (docs/feeds.md)'],
    ['ecompipe stream --once --reload-from-archive', 'bring back what a restored database has lost'],
    ['ecompipe stream --engine spark --master local[2]', 'the same on Apache Spark (docs/scaling.md)'],
    ['ecompipe stream --engine spark -- --conf spark.cores.max=8', "with flags of Spark's own"],
  ],
  run: async ({ once, strict, ...settings }, context) => {
    const sparkFlags = context.args;
    assertPossible(settings, sparkFlags);
    const feeds = await loadFeeds(settings);
    const listing = listOptions({ ...settings, feeds });
    const loadingEngine = loadEngine(settings.engine);
    const { withDatabase, ensureSchema, isUri, ...shown } = await loadParts();
    const { createStreamEvents, describeStream, readBacklog, showStream } = shown;
    const stage = createStreamEvents();
    const { log, stop } = context;
    const drain = once ? AbortSignal.abort() : new AbortController().signal;
    const record = recordEvents(stage, context.interactive ? demoteProgress(demoteRejects(log)) : log);
    const isRemote = settings.engine === 'spark' && isUri(settings.inputDir);
    return await withWatchers(settings, context, { ...watched(stage, settings, isRemote), listing }, async (meter) => {
      await prepareInput(settings, isRemote);
      const display = await showStream(
        once && !isRemote ? settings.inputDir : undefined,
        listing,
        stage.figures,
        context,
      );
      const emit = (event: StreamEvent): void => {
        record(event);
        meter.observe({ stage: 'stream', event });
      };
      const startMs = performance.now();
      const result = await withDatabase(
        settings,
        { ...context, onDatabaseEvent: meter.observeDatabase },
        async (database) => {
          await ensureSchema(database, context);
          const runEngine = await loadingEngine;
          const kept = once ? undefined : await startRetention(settings, database, log);
          try {
            return await runEngine({ ...settings, sparkFlags, feeds, pollIntervalMs: POLL_INTERVAL_MS }, database, {
              stop,
              drain,
              log,
              emit,
            });
          } finally {
            await kept?.close();
          }
        },
      ).finally(() => display.stop());
      const left = isRemote ? undefined : await lookLeft(settings, listing, stage.figures, readBacklog);
      const leftAlone = left?.leftAlone.entries ?? 0;
      const hasRejects = result.rows.rejected + result.filesQuarantined + leftAlone > 0;
      const exitCode = once && stop.aborted ? EXIT.interrupted : strict && hasRejects ? EXIT.rowsRejected : EXIT.done;
      return {
        json: { ...result, leftAlone },
        text: wrapFor(process.stdout, describeStream(result, performance.now() - startMs, left)),
        isReport: true,
        exitCode,
      };
    });
  },
});

/**
 * Before a database is created for it. A newcomer may start the commands in any order; a directory that somebody chose
 * and that isn't there is a mistake.
 */
async function prepareInput(
  { inputDir, afterLoad, reloadFromArchive }: Pick<StreamSettings, 'inputDir' | 'afterLoad' | 'reloadFromArchive'>,
  isRemote: boolean,
): Promise<void> {
  if (isRemote && reloadFromArchive === true)
    throw new UsageError(['--reload-from-archive needs local directories: move the files back by hand']);
  if (isRemote) return;
  const [{ ensureDirectory }, { assertUsable }] = await Promise.all([
    import('../platform/files/directories.js'),
    import('../pipeline/stream/discover.js'),
  ]);
  if (inputDir === streamSettings.inputDir.default) await ensureDirectory(inputDir);
  await assertUsable(inputDir, afterLoad !== 'keep');
}

function watched(
  stream: StreamEvents,
  { inputDir, afterLoad }: Pick<StreamSettings, 'inputDir' | 'afterLoad'>,
  isRemote: boolean,
): Omit<WatchOptions, 'listing'> {
  return {
    command: 'stream',
    stages: { stream },
    directories: { processing: inputDir },
    drainedDir: isRemote || afterLoad === 'keep' ? undefined : inputDir,
  };
}

async function lookLeft(
  { inputDir, incomingDir, afterLoad }: Pick<StreamSettings, 'inputDir' | 'afterLoad'> & { incomingDir: string },
  listing: ListOptions,
  { bytes, finishedBytes, rows }: Readonly<StreamFigures>,
  readBacklog: typeof readBacklogOf,
): Promise<LeftBehind> {
  const [input, incoming] = await Promise.all([readBacklog(inputDir, listing), readBacklog(incomingDir, listing)]);
  return {
    inputDir,
    inputFiles: afterLoad === 'keep' ? 0 : input.files,
    // A file that is loaded in part still has all its bytes.
    inputBytes: input.compressed > 0 ? undefined : Math.max(0, input.bytes - (bytes - finishedBytes)),
    bytesPerRow: rows.read === 0 ? undefined : bytes / rows.read,
    leftAlone: input.leftAlone,
    incomingDir,
    incomingFiles: incoming.files,
  };
}

/** @throws UsageError with what can't be together. */
function assertPossible(
  settings: Parameters<typeof assertArchives>[0] & { readonly engine: 'native' | 'spark' },
  flags: readonly string[],
): void {
  assertArchives(settings);
  if (settings.engine === 'native' && flags.length > 0)
    throw new UsageError([`${JSON.stringify(flags[0])}: unexpected; only --engine spark takes flags after --`]);
}

async function startRetention(
  settings: { readonly retention: number | undefined; readonly afterLoad: string; readonly archiveDir: string },
  database: Database,
  log: Logger,
): Promise<{ readonly close: () => Promise<void> } | undefined> {
  if (settings.retention === undefined) return undefined;
  const { keepRetention } = await import('../pipeline/prune/retention.js');
  const archiveDir = settings.afterLoad === 'archive' ? settings.archiveDir : undefined;
  return keepRetention({ retentionMs: settings.retention, archiveDir }, database, log);
}

/** The engine that was asked for. It is most of the code: compiled while the server answers the first questions. */
function loadEngine(engine: 'native' | 'spark') {
  const loading =
    engine === 'spark'
      ? import('../pipeline/stream/spark/runSpark.js').then(({ runSparkStream }) => runSparkStream)
      : import('../pipeline/stream/runStream.js').then(({ runStream }) => runStream);
  // Who waits for it hears of it; nobody does where something else fails before.
  loading.catch(() => undefined);
  return loading;
}

/** What only this command needs: the start of every other one is spared it. */
async function loadParts() {
  const parts = await Promise.all([
    import('../platform/db/target.js'),
    import('../pipeline/migrate/schema.js'),
    import('../platform/files/uri.js'),
    import('../pipeline/stream/streamEventTable.js'),
    import('../pipeline/stream/describeStream.js'),
    import('./loadProgress.js'),
    import('../contract/backlog.js'),
  ]);
  const [target, schema, uri, table, describing, progress, backlog] = parts;
  return {
    ...target,
    ...schema,
    ...uri,
    ...table,
    ...describing,
    ...progress,
    ...backlog,
  };
}
