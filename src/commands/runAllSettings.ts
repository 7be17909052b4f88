import * as parse from '../platform/parsers.js';
import { setting, type SettingsOf } from '../platform/settings.js';
import { UsageError } from '../platform/errors.js';
import type { GenerateSettings } from '../pipeline/generate/settings.js';
import { generateSettings } from '../pipeline/generate/settingsTable.js';
import { moveSettings } from '../pipeline/move/settingsTable.js';
import { assertArchives, loadSettings, streamSettings } from '../pipeline/stream/settingsTable.js';
import { dashboardSettings } from './dashboard.js';
import { feedSettings } from './feedSettings.js';
import { metricsSettings } from './metrics.js';
import { notifySettings } from './notify.js';
import { databaseSettings } from './settings.js';

/** Fast enough to watch, and slow enough to be left running: two million events a day. */
const LIVE_RATE = 25;
const LIVE_INTERVAL_SECONDS = 1;
const HISTORY = '28d';

export const runAllSettings = {
  ...databaseSettings,
  ...generateSettings,
  intervalSeconds: { ...generateSettings.intervalSeconds, defaultText: '1; with --batch-size alone 5' },
  batchSize: { ...generateSettings.batchSize, defaultText: 'by the rate; with --interval alone 10' },
  rate: { ...generateSettings.rate, defaultText: `${LIVE_RATE}; with --interval or --batch-size by these` },
  history: setting<number | 'none' | undefined>({
    flag: '--history',
    placeholder: '<age>',
    env: 'ECOMPIPE_HISTORY',
    default: undefined,
    defaultText: `${HISTORY}; with --events, --batches, --interval 0 or --until-drained none`,
    parse: (raw) => (raw === 'none' ? raw : parse.age(raw)),
    help: 'load events of the past first: this many days, or none; skipped when there are events already',
  }),
  processingDir: streamSettings.inputDir,
  settleMs: moveSettings.settleMs,
  maxBacklog: moveSettings.maxBacklog,
  ...loadSettings,
  ...feedSettings,
  ...metricsSettings,
  ...notifySettings,
  ...dashboardSettings,
  durationMs: setting<number | undefined>({
    flag: '--duration',
    placeholder: '<time>',
    env: 'ECOMPIPE_DURATION',
    default: undefined,
    defaultText: 'until stopped',
    parse: parse.optional(parse.duration),
    help: 'stop generating after this time, such as 90s or 10m',
  }),
  untilDrained: setting({
    flag: '--until-drained',
    env: 'ECOMPIPE_UNTIL_DRAINED',
    default: false,
    parse: parse.boolean,
    help: 'end when all that was generated is loaded, and prove it; without it, moving and loading continue until Ctrl-C',
  }),
} as const;

export type RunAllValues = SettingsOf<typeof runAllSettings>;

/** What the generator does where nobody said otherwise: a history, then live events faster than `generate` alone. */
export function generatorSettings(values: RunAllValues): GenerateSettings {
  const { history, rate, intervalSeconds, batchSize, events, batches, untilDrained } = values;
  const pace =
    intervalSeconds === undefined && batchSize === undefined
      ? { rate: rate ?? LIVE_RATE, intervalSeconds: LIVE_INTERVAL_SECONDS }
      : {};
  const isShort = events !== undefined || batches !== undefined || untilDrained || intervalSeconds === 0;
  const age = history ?? (isShort ? 'none' : parse.age(HISTORY));
  return {
    ...values,
    ...pace,
    historyMs: age === 'none' ? undefined : age,
  };
}

/** @throws UsageError with what can't be together. */
export function assertPossible({ maxBacklog, afterLoad, processingDir, archiveGzip }: RunAllValues): void {
  assertArchives({ archiveGzip, afterLoad });
  if (maxBacklog === undefined || afterLoad !== 'keep') return;
  throw new UsageError([
    `--max-backlog ${maxBacklog}: with --after-load keep loaded files stay in ${processingDir}, so the backlog never shrinks; leave one of the two out`,
  ]);
}
