import type { Feed as FileFeed } from '../contract/feeds/feed.js';
import type { FileSelection } from '../contract/leftAlone.js';
import { listOptions, type ListOptions, type PipelineDirectories } from '../contract/listFiles.js';
import type { Database } from '../platform/db/target.js';
import { EXIT, type ExitCode } from '../platform/errors.js';
import type { Logger } from '../platform/log.js';
import { terminalSize } from '../platform/terminal.js';
import type { PipelineState } from '../pipeline/pipelineState.js';
import type { PipelineEvent } from '../pipeline/pipelineEvents.js';
import type { StagesSettings } from '../pipeline/runAll.js';
import type { SnapshotFeed } from '../pipeline/dashboard/feed.js';
import type { DashboardServerSettings } from '../pipeline/dashboard/server.js';
import type { StageCounts } from '../pipeline/dashboard/history.js';
import type { RunSummary, SummaryOptions } from '../pipeline/summary.js';
import { defineCommand, type CommandContext, type CommandResult } from './command.js';
import { DEFAULT_PORT, dashboardAccess } from './dashboard.js';
import type { EventMeter } from './metrics.js';
import { withWatchers } from './notify.js';
import { loadFeeds } from './feedSettings.js';
import type { ProgressDisplay } from './panel.js';
import { demoteRejects } from './rejectReport.js';
import { assertPossible, generatorSettings, runAllSettings, type RunAllValues } from './runAllSettings.js';

/** Only matters where the system doesn't tell about new files (network file systems). */
const POLL_INTERVAL_MS = 1000;

type RunAllFlags = RunAllValues & {
  readonly feeds: readonly FileFeed[];
  /** Undefined: no dashboard is served. */
  readonly page: (DashboardServerSettings & { readonly orFreePort: boolean }) | undefined;
};

export const runAll = defineCommand({
  name: 'run-all',
  summary: 'the whole pipeline: migrate, then generate, move and stream together',
  whenStopped: 'draining',
  settings: runAllSettings,
  examples: [
    ['ecompipe run-all', 'four weeks of history, then 25 events a second; Ctrl-C drains and proves it'],
    ['ecompipe run-all --history none --no-dashboard', 'only live events, only in the terminal'],
    ['ecompipe run-all --rate 5000 --duration 1m --until-drained', 'five thousand events a second for a minute'],
    [
      'ecompipe run-all --events 2000 --batch-size 200 --interval 0 --seed 1 --until-drained --json',
      'a smoke test with a known answer',
    ],
  ],
  run: async (values, context): Promise<CommandResult> => {
    assertPossible(values);
    const { outputDir, processingDir, afterLoad } = values;
    const [{ planRun }, { withDatabase }] = await Promise.all([
      import('../pipeline/generate/settings.js'),
      import('../platform/db/target.js'),
    ]);
    const feeds = await loadFeeds(values);
    // What can't be generated is reported before a database is created for it.
    planRun(generatorSettings(values), Date.now());
    const page = await readPage(values, context);
    const { createPipelineState } = await import('../pipeline/pipelineState.js');
    const state = createPipelineState(performance.now());
    const watching = {
      command: 'run-all',
      stages: state.stages,
      directories: { incoming: outputDir, processing: processingDir },
      listing: listingOf({ ...values, feeds }),
      drainedDir: afterLoad === 'keep' ? undefined : processingDir,
    };
    return await withWatchers(values, context, watching, (meter) =>
      withDatabase(values, { ...context, onDatabaseEvent: meter.observeDatabase }, (database) =>
        runPipeline({ ...values, feeds, page }, state, database, context, meter),
      ),
    );
  },
});

/** Runs the stages under a display, then reads and tells what it came to. */
async function runPipeline(
  values: RunAllFlags,
  state: PipelineState,
  database: Database,
  context: CommandContext,
  meter: EventMeter,
): Promise<CommandResult> {
  const { untilDrained, processingDir, outputDir } = values;
  const [{ readBacklog }, { runAll: run }, { recordPipeline }, { showProgress }, { summarize, describeSummary }] =
    await Promise.all([
      import('../contract/backlog.js'),
      import('../pipeline/runAll.js'),
      import('../pipeline/pipelineState.js'),
      import('./panel.js'),
      import('../pipeline/summary.js'),
    ]);
  const log = underPanel(context);
  const progress = showProgress(state, {
    ...context,
    incomingDir: outputDir,
    processingDir,
    listing: listingOf(values),
  });
  const beginDraining = (): void => void (state.phase = 'draining');
  context.stop.addEventListener('abort', beginDraining, { once: true });
  const record = recordPipeline(state, log);
  const emit = (event: PipelineEvent): void => {
    record(event);
    meter.observe(event);
  };
  try {
    const result = await watched(values, database, { ...context, log }, { state, progress }, () =>
      run(stagesOf(values), database, { stop: context.stop, log, emit }),
    );
    state.phase = 'proving';
    // A first signal ends the generating; the summary is what it was sent for.
    const summary = await summarize(
      result,
      database,
      {
        prove: untilDrained ? 'all' : context.stop.aborted ? 'loaded' : 'nothing',
        elapsedMs: performance.now() - state.startedAtMs,
        places: placesOf(values),
        files: state.files,
      },
      { log, stop: new AbortController().signal },
    );
    const { leftAlone } = await readBacklog(processingDir, listingOf(values));
    progress.stop();
    return {
      json: { ...summary, leftAlone: leftAlone.entries },
      text: describeSummary(summary, terminalSize(process.stdout)?.columns),
      isReport: true,
      exitCode: exitCodeOf(values, summary, leftAlone.entries, context.stop.aborted),
    };
  } finally {
    context.stop.removeEventListener('abort', beginDraining);
    progress.stop();
  }
}

/** Where the proof looks for files. */
function placesOf({ outputDir, processingDir, archiveDir, quarantineDir }: RunAllFlags): SummaryOptions['places'] {
  return { waitingDirs: [outputDir, processingDir], loadedDirs: [archiveDir, processingDir, quarantineDir] };
}

/** Which files of the directories are ours. */
function listingOf({ outputDir, ...rest }: FileSelection & PipelineDirectories & { outputDir: string }): ListOptions {
  return listOptions({ ...rest, incomingDir: outputDir });
}

/** The settings of each stage. */
function stagesOf(values: RunAllFlags): StagesSettings {
  const { durationMs, untilDrained, outputDir, processingDir, ...rest } = values;
  return {
    generate: generatorSettings(values),
    move: {
      from: outputDir,
      to: processingDir,
      settleMs: rest.settleMs,
      maxBacklog: rest.maxBacklog,
      ...listingOf({ ...rest, outputDir, processingDir }),
      pollIntervalMs: POLL_INTERVAL_MS,
    },
    stream: { ...rest, inputDir: processingDir, incomingDir: outputDir, pollIntervalMs: POLL_INTERVAL_MS },
    durationMs,
    untilDrained,
  };
}

function exitCodeOf(
  { strict, untilDrained, events, batches, durationMs }: RunAllValues,
  { proof, loaded }: RunSummary,
  leftAlone: number,
  wasStopped: boolean,
): ExitCode {
  if (proof?.ok === false) return EXIT.checkFailed;
  const hasEnd = untilDrained && [events, batches, durationMs].some((limit) => limit !== undefined);
  if (hasEnd && wasStopped) return EXIT.interrupted;
  return strict && loaded.rejected + loaded.quarantinedFiles + leftAlone > 0 ? EXIT.rowsRejected : EXIT.done;
}

function countsOf({ stages: { generate, move } }: PipelineState): StageCounts {
  return {
    generatedRows: generate.figures.rows,
    generatedFiles: generate.figures.files,
    movedFiles: move.figures.files,
  };
}

/** How the dashboard is to be served, if it is. @throws UsageError when other machines would reach it without a password. */
async function readPage(values: RunAllValues, { quiet }: CommandContext): Promise<RunAllFlags['page']> {
  const { dashboardWish: wish } = values;
  const isServed = wish === 'auto' ? terminalSize(process.stdout) !== undefined && !quiet : wish !== 'off';
  if (!isServed) return undefined;
  const port = typeof wish === 'number' ? wish : DEFAULT_PORT;
  return { ...(await dashboardAccess(values)), port, portFlag: '--dashboard', orFreePort: typeof wish !== 'number' };
}

/** Runs `action` with the dashboard, if it is wanted, and with a panel that shows the same figures. */
async function watched<T>(
  values: RunAllFlags,
  database: Database,
  { log, interactive }: CommandContext,
  { state, progress }: { readonly state: PipelineState; readonly progress: ProgressDisplay },
  action: () => Promise<T>,
): Promise<T> {
  const { page, outputDir, processingDir } = values;
  if (page === undefined && !interactive) return await action();
  const { dashboardUrl, withDashboard, withFeed } = await import('../pipeline/dashboard/runDashboard.js');
  const watch = {
    incomingDir: outputDir,
    processingDir,
    listing: listingOf(values),
    stageCounts: () => countsOf(state),
  };
  const followed = async (feed: SnapshotFeed): Promise<T> => {
    progress.follow(feed);
    return await action();
  };
  if (page === undefined) return await withFeed(watch, database, { log }, followed);
  return await withDashboard({ ...watch, ...page }, database, { log }, async (server, feed) => {
    const url = dashboardUrl(server);
    log.info('dashboard_served', `the dashboard is on ${url}`, { url });
    state.dashboardUrl = url;
    return await followed(feed);
  });
}

/** Worth a line that stays. */
const LASTING: ReadonlySet<string> = new Set(['history_loaded', 'history_left_out']);

/** The panel shows what goes on; above it only what needs attention is worth a line. */
function underPanel({ log, interactive }: Pick<CommandContext, 'log' | 'interactive'>): Logger {
  if (!interactive) return log;
  return {
    ...demoteRejects(log),
    info: (event, message, fields) => (LASTING.has(event) ? log.info : log.debug)(event, message, fields),
  };
}
