import * as parse from '../platform/parsers.js';
import type { Feed } from '../contract/feeds/feed.js';
import type { Database } from '../platform/db/target.js';
import { EXIT, UsageError, type ExitCode } from '../platform/errors.js';
import type { SettingsOf } from '../platform/settings.js';
import type { PipelineState } from '../pipeline/pipelineState.js';
import type { PipelineEvent } from '../pipeline/pipelineEvents.js';
import type { RunAllSettings } from '../pipeline/runAll.js';
import type { StageCounts } from '../pipeline/dashboard/stageRates.js';
import type { RunSummary } from '../pipeline/summary.js';
import { defineCommand, type CommandContext, type CommandResult } from './command.js';
import { dashboardSettings } from './dashboard.js';
import { metricsSettings, withMetrics, type Meter } from './metrics.js';
import { feedSettings, loadFeeds } from './feedSettings.js';
import { databaseSettings } from './settings.js';
import { generateSettings } from '../pipeline/generate/settingsTable.js';
import { loadSettings, streamSettings } from '../pipeline/stream/settingsTable.js';
import { moveSettings } from '../pipeline/move/settingsTable.js';

/** Only matters where the system doesn't tell about new files (network file systems). */
const POLL_INTERVAL_MS = 1000;

const settings = {
  ...databaseSettings,
  ...generateSettings,
  processingDir: streamSettings.inputDir,
  settleMs: moveSettings.settleMs,
  maxBacklog: moveSettings.maxBacklog,
  ...loadSettings,
  ...feedSettings,
  ...metricsSettings,
  ...dashboardSettings,
  durationMs: {
    flag: '--duration',
    placeholder: '<time>',
    env: 'ECOMPIPE_DURATION',
    default: undefined,
    defaultText: 'until stopped',
    parse: parse.optional(parse.duration),
    help: 'stop generating after so long, such as 90s or 10m',
  },
  untilDrained: {
    flag: '--until-drained',
    env: 'ECOMPIPE_UNTIL_DRAINED',
    default: false,
    parse: parse.boolean,
    help: 'end when all that was generated is loaded, and prove it; without it, moving and loading go on until Ctrl-C',
  },
} as const;

type Values = SettingsOf<typeof settings> & { readonly feeds: readonly Feed[] };

export const runAll = defineCommand({
  name: 'run-all',
  summary: 'the whole pipeline: migrate, then generate, move and stream together',
  whenStopped: 'no more is generated; loading what there is',
  settings,
  examples: [
    ['ecompipe run-all', 'watch it work; Ctrl-C drains and prints a summary'],
    ['ecompipe run-all --rate 5000 --duration 1m --until-drained', 'five thousand events a second for a minute'],
    [
      'ecompipe run-all --events 2000 --batch-size 200 --interval 0 --seed 1 --until-drained --json',
      'a smoke test with a known answer',
    ],
  ],
  run: async (values, context): Promise<CommandResult> => {
    const { maxBacklog, afterLoad, outputDir, processingDir } = values;
    if (maxBacklog !== undefined && afterLoad === 'keep') {
      throw new UsageError([
        `--max-backlog ${maxBacklog}: with --after-load keep loaded files stay in ${processingDir}, so the backlog never shrinks; leave one of the two out`,
      ]);
    }
    const [{ planRun }, { withDatabase }] = await Promise.all([
      import('../pipeline/generate/settings.js'),
      import('../platform/db/target.js'),
    ]);
    const feeds = await loadFeeds(values);
    // What can't be generated is told before a database is created for it.
    planRun(values, Date.now());
    const { createPipelineState } = await import('../pipeline/pipelineState.js');
    const state = createPipelineState(performance.now());
    const metered = {
      command: 'run-all',
      stages: state.stages,
      directories: { incoming: outputDir, processing: processingDir },
    };
    return await withMetrics(values, context, metered, (meter) =>
      withDatabase(values, { ...context, onDatabaseEvent: meter.observeDatabase }, (database) =>
        runPipeline({ ...values, feeds }, state, database, context, meter),
      ),
    );
  },
});

/** Runs the stages under a display, then reads and tells what it came to. */
async function runPipeline(
  values: Values,
  state: PipelineState,
  database: Database,
  context: CommandContext,
  meter: Meter,
): Promise<CommandResult> {
  const { untilDrained, processingDir, outputDir, ...rest } = values;
  const [{ runAll: run }, { recordPipeline }, { showProgress }, { summarize, describeSummary }] = await Promise.all([
    import('../pipeline/runAll.js'),
    import('../pipeline/pipelineState.js'),
    import('./panel.js'),
    import('../pipeline/summary.js'),
  ]);
  const progress = showProgress(state, { ...context, incomingDir: outputDir, processingDir });
  const log = quietUnderPanel(context);
  const record = recordPipeline(state, log);
  const emit = (event: PipelineEvent): void => {
    record(event);
    meter.observe(event);
  };
  try {
    const result = await withPage(values, database, { log }, state, () =>
      run(stagesOf(values), database, { stop: context.stop, log, emit }),
    );
    progress.stop();
    const places = {
      waitingDirs: [outputDir, processingDir],
      loadedDirs: [rest.archiveDir, processingDir, rest.quarantineDir],
    };
    // A first signal ends the generating; the summary is what it was sent for.
    const summary = await summarize(
      result,
      database,
      {
        prove: untilDrained ? 'all' : context.stop.aborted ? 'loaded' : 'nothing',
        elapsedMs: performance.now() - state.startedAtMs,
        places,
        files: state.files,
      },
      { log, stop: new AbortController().signal },
    );
    return {
      json: summary,
      text: describeSummary(summary),
      isReport: true,
      exitCode: exitCodeOf(values, summary, context.stop.aborted),
    };
  } finally {
    progress.stop();
  }
}

/** The settings of each stage. */
function stagesOf({ durationMs, untilDrained, outputDir, processingDir, ...rest }: Values): RunAllSettings {
  return {
    generate: { ...rest, outputDir },
    move: {
      from: outputDir,
      to: processingDir,
      settleMs: rest.settleMs,
      maxBacklog: rest.maxBacklog,
      feeds: rest.feeds,
      pollIntervalMs: POLL_INTERVAL_MS,
    },
    stream: { ...rest, inputDir: processingDir, pollIntervalMs: POLL_INTERVAL_MS },
    durationMs,
    untilDrained,
  };
}

function exitCodeOf(
  { strict, untilDrained, events, batches, durationMs }: SettingsOf<typeof settings>,
  { proof, loaded }: RunSummary,
  wasStopped: boolean,
): ExitCode {
  if (proof?.ok === false) return EXIT.checkFailed;
  const hasEnd = untilDrained && [events, batches, durationMs].some((limit) => limit !== undefined);
  if (hasEnd && wasStopped) return EXIT.interrupted;
  return strict && loaded.rejected + loaded.quarantinedFiles > 0 ? EXIT.rowsRejected : EXIT.done;
}

function countsOf({ stages: { generate, move } }: PipelineState): StageCounts {
  return {
    generatedRows: generate.figures.rows,
    generatedFiles: generate.figures.files,
    movedFiles: move.figures.files,
  };
}

/** Serves the dashboard meanwhile, if it is wanted. */
async function withPage<T>(
  { dashboardPort, dashboardHost, outputDir, processingDir }: SettingsOf<typeof settings>,
  database: Database,
  context: Pick<CommandContext, 'log'>,
  state: PipelineState,
  action: () => Promise<T>,
): Promise<T> {
  if (dashboardPort === undefined) return await action();
  const { dashboardUrl, withDashboard } = await import('../pipeline/dashboard/runDashboard.js');
  return await withDashboard(
    {
      host: dashboardHost,
      port: dashboardPort,
      portFlag: '--dashboard',
      incomingDir: outputDir,
      processingDir,
      stageCounts: () => countsOf(state),
    },
    database,
    context,
    (server) => {
      const url = dashboardUrl(server);
      context.log.info('dashboard_served', `the dashboard is on ${url}`, { url });
      state.dashboardUrl = url;
      return action();
    },
  );
}

/** The panel shows what goes on; below it only what needs attention is worth a line. */
function quietUnderPanel({ log, interactive }: CommandContext): CommandContext['log'] {
  return interactive ? { ...log, info: () => undefined } : log;
}
