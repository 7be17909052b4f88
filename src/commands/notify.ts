import { EcompipeError, EXIT, reportedFacts } from '../platform/errors.js';
import type { Notice } from '../platform/notify/notifier.js';
import { parseWebhook, type Webhook } from '../platform/notify/webhook.js';
import * as parse from '../platform/parsers.js';
import type { Setting, SettingsOf, SettingTable } from '../platform/settings.js';
import type { ListOptions } from '../contract/listFiles.js';
import type { PipelineStages } from '../pipeline/pipelineEvents.js';
import type { CommandContext, CommandResult } from './command.js';
import { withMetrics, type EventMeter } from './metrics.js';

const notifyUrl: Setting<Webhook | undefined> = {
  flag: '--notify-url',
  placeholder: '<url>',
  env: 'ECOMPIPE_NOTIFY_URL',
  default: undefined,
  defaultText: 'none',
  isSecret: true,
  parse: parse.optional(parseWebhook),
  help: 'post JSON to this URL when a file is quarantined, or loading stops or is stuck',
};

export const notifySettings = {
  notifyUrl,
  notifyStuckAfterMs: {
    flag: '--notify-stuck-after',
    placeholder: '<time>',
    env: 'ECOMPIPE_NOTIFY_STUCK_AFTER',
    default: 300_000,
    defaultText: '5m',
    parse: parse.duration,
    help: 'loading is stuck when files wait, or the database is away, for this long',
  } as Setting<number>,
} satisfies SettingTable;

type WatchSettings = Parameters<typeof withMetrics>[0] & SettingsOf<typeof notifySettings>;

export interface WatchOptions {
  readonly command: string;
  readonly stages: Partial<PipelineStages> & Pick<PipelineStages, 'stream'>;
  readonly directories: { readonly incoming?: string; readonly processing: string };
  readonly listing: ListOptions;
  /** Where files wait to be loaded and leave when they are; undefined: they stay, or it is not a local directory. */
  readonly drainedDir: string | undefined;
}

/** Runs a command that loads, with its metrics and its notices, as far as the settings ask for them. */
export async function withWatchers(
  settings: WatchSettings,
  context: CommandContext,
  { drainedDir, ...options }: WatchOptions,
  run: (meter: EventMeter) => Promise<CommandResult>,
): Promise<CommandResult> {
  return await withMetrics(settings, context, options, (meter) =>
    withNotices(settings, context, { ...options, drainedDir }, meter, run),
  );
}

async function withNotices(
  { notifyUrl, notifyStuckAfterMs }: SettingsOf<typeof notifySettings>,
  { log }: CommandContext,
  { command, stages, drainedDir, listing }: WatchOptions,
  meter: EventMeter,
  run: (meter: EventMeter) => Promise<CommandResult>,
): Promise<CommandResult> {
  if (notifyUrl === undefined) return await run(meter);
  const [{ Notifier }, { notifyEvents }, { StuckWatch }] = await Promise.all([
    import('../platform/notify/notifier.js'),
    import('../platform/stageEvents.js'),
    import('../pipeline/stream/stuckWatch.js'),
  ]);
  const notifier = new Notifier(notifyUrl, command, log);
  const stuck = new StuckWatch({ stuckAfterMs: notifyStuckAfterMs, inputDir: drainedDir, listing }, notifier.notify);
  const notifyEvent = notifyEvents(stages.stream, notifier.notify);
  try {
    const result = await run({
      observe: (staged) => {
        meter.observe(staged);
        if (staged.stage !== 'stream') return;
        notifyEvent(staged.event);
        stuck.observe(staged.event);
      },
      observeDatabase: (event) => {
        meter.observeDatabase(event);
        stuck.observeDatabase(event);
      },
    });
    if (result.exitCode === EXIT.rowsRejected) notifier.notify(REJECTS_WITH_STRICT);
    return result;
  } catch (error) {
    const notice = endOf(error);
    if (notice !== undefined) notifier.notify(notice);
    throw error;
  } finally {
    stuck.close();
    await notifier.close();
  }
}

const REJECTS_WITH_STRICT: Notice = {
  event: 'reject_limit_reached',
  text: 'rows were rejected or files quarantined, and --strict allows none',
  facts: { exitCode: EXIT.rowsRejected },
};

/** How a run ended that nobody wanted to end. */
function endOf(error: unknown): Notice | undefined {
  if (!(error instanceof EcompipeError)) {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { event: 'stream_stopped', text: `it stopped: ${what}`, facts: { exitCode: EXIT.bug, what } };
  }
  if (error.exitCode === EXIT.interrupted) return undefined;
  return {
    event: error.exitCode === EXIT.rejectLimit ? 'reject_limit_reached' : 'stream_stopped',
    text: `it stopped: ${error.message}`,
    facts: reportedFacts(error),
  };
}
