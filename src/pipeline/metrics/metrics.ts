import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { DatabaseAvailability, type DatabaseEvent } from '../../platform/db/retry.js';
import { readBacklog, type Backlog } from '../../contract/backlog.js';
import type { ListOptions } from '../../contract/listFiles.js';
import { version } from '../../platform/version.js';
import type { PipelineEvent, PipelineStages } from '../pipelineEvents.js';
import { databaseMetrics, stageMetrics } from './stages.js';

export interface MetricsOptions {
  /** The command that runs, as a label of every metric: two textfiles on one machine must not hold the same series. */
  readonly command: string;
  /** The stages that run here, with what their events mean. */
  readonly stages: Partial<PipelineStages>;
  /** Directories whose backlog is measured at each scrape, by what they are in the pipeline. */
  readonly directories: Partial<Readonly<Record<'incoming' | 'processing', string>>>;
  /** Which of their files count. Default: those that are loaded without feeds. */
  readonly listing?: ListOptions;
  /** Also those of the process (memory, event loop). Not for a textfile: they would be taken for the node exporter's own. */
  readonly ofProcess: boolean;
}

/** The metrics of a process, kept up to date by the events of its stages. */
export interface PipelineMetrics {
  readonly registry: Registry;
  readonly observe: (event: PipelineEvent) => void;
  readonly observeDatabase: (event: DatabaseEvent) => void;
  /** Works, and reaches its database as far as it knows. */
  readonly isReady: () => boolean;
  /** For a textfile, at the end. */
  readonly ended: (exitCode: number) => void;
}

export function createMetrics({ command, stages, directories, listing, ofProcess }: MetricsOptions): PipelineMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ command });
  const measure = stageMetrics(registry, stages);
  const observeDatabase = stages.stream === undefined ? undefined : databaseMetrics(registry);
  new Gauge({
    name: 'ecompipe_build_info',
    help: 'What runs here; always 1.',
    labelNames: ['version', 'node_version'],
    registers: [registry],
  }).set({ version: version(), node_version: process.version }, 1);
  backlogMetrics(registry, directories, listing);
  if (ofProcess) processMetrics(registry);
  const startedAtMs = Date.now();
  // Without a stream there is no database to wait for.
  const state = { hasStarted: stages.stream === undefined };
  const availability = new DatabaseAvailability();
  return {
    registry,
    observe: (staged) => {
      if (staged.event.type === 'streamStarted') state.hasStarted = true;
      measure(staged);
    },
    observeDatabase: (event) => {
      availability.observe(event);
      observeDatabase?.(event, availability);
    },
    isReady: () => state.hasStarted && availability.awaySinceMs === undefined,
    ended: (exitCode) => {
      const gauge = (name: string, help: string, value: number): void =>
        new Gauge({ name, help, registers: [registry] }).set(value);
      gauge('ecompipe_last_run_exit_code', 'Exit code of the last run.', exitCode);
      gauge('ecompipe_last_run_duration_seconds', 'How long the last run took.', (Date.now() - startedAtMs) / 1000);
      gauge(
        'ecompipe_last_run_timestamp_seconds',
        'When the last run ended, in seconds since 1970.',
        Date.now() / 1000,
      );
    },
  };
}

/** Without three of prom-client's own that promtool objects to: gauges called `…_total`, each also there as a sum of labels. */
function processMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const kind of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${kind}_total`);
}

/** What waits in the directories, looked at once a scrape. */
function backlogMetrics(
  registry: Registry,
  directories: MetricsOptions['directories'],
  listing: ListOptions | undefined,
): void {
  const places = Object.entries(directories);
  if (places.length === 0) return;
  let looking: Promise<readonly { readonly directory: string; readonly backlog: Backlog }[]> | undefined;
  // All metrics are collected at the same time: the first one looks, the others wait for it.
  const look = (): NonNullable<typeof looking> =>
    (looking ??= Promise.all(
      places.map(async ([directory, path]) => ({ directory, backlog: await readBacklog(path, listing) })),
    ).finally(() => (looking = undefined)));
  const gauge = (name: string, help: string, valueOf: (backlog: Backlog) => number | undefined): void => {
    new Gauge({
      name,
      help,
      labelNames: ['directory'],
      registers: [registry],
      async collect() {
        for (const { directory, backlog } of await look()) {
          const value = valueOf(backlog);
          if (value === undefined) this.remove({ directory });
          else this.set({ directory }, value);
        }
      },
    });
  };
  gauge('ecompipe_backlog_files', 'Files that wait in a directory.', ({ files }) => files);
  gauge(
    'ecompipe_left_alone_files',
    'Entries of a directory that are neither moved nor loaded: other names, directories, links.',
    ({ leftAlone }) => leftAlone.entries,
  );
  gauge('ecompipe_backlog_bytes', 'Bytes of the files that wait in a directory.', ({ bytes }) => bytes);
  gauge(
    'ecompipe_oldest_pending_file_timestamp_seconds',
    'Since when the file that waits longest has been in a directory, in seconds since 1970; absent when none waits.',
    ({ oldestSinceMs }) => (oldestSinceMs === undefined ? undefined : oldestSinceMs / 1000),
  );
}
