import { terminalSize } from '../platform/terminal.js';
import * as parse from '../platform/parsers.js';
import { EXIT, type ExitCode } from '../platform/errors.js';
import type { Setting } from '../platform/settings.js';
import { defineCommand, type CommandResult } from './command.js';
import { feedSettings, loadFeeds, ownDirectories } from './feedSettings.js';
import { connectionSettings } from './settings.js';
import { incomingDir, processingDir } from '../contract/directorySettings.js';
import { selectionSettings } from '../contract/selectionSettings.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';

type Maybe<T> = Setting<T | undefined>;

const maxPending: Maybe<number> = {
  flag: '--max-pending',
  placeholder: '<files>',
  env: 'ECOMPIPE_MAX_PENDING',
  default: undefined,
  defaultText: 'no limit',
  parse: parse.optional(parse.integer(0)),
  help: 'with --check: so many files may wait in incoming and processing',
};
const maxPendingMs: Maybe<number> = {
  flag: '--max-wait',
  placeholder: '<time>',
  env: 'ECOMPIPE_MAX_WAIT',
  default: 600_000,
  defaultText: '10m',
  parse: parse.optional(parse.duration),
  help: 'with --check: so long may a file have waited',
};
const maxFreshnessMs: Maybe<number> = {
  flag: '--max-freshness',
  placeholder: '<time>',
  env: 'ECOMPIPE_MAX_FRESHNESS',
  default: undefined,
  defaultText: 'no limit',
  parse: parse.optional(parse.duration),
  help: 'with --check: so old may the last commit be',
};
const maxIdleMs: Maybe<number> = {
  flag: '--max-idle',
  placeholder: '<time>',
  env: 'ECOMPIPE_MAX_IDLE',
  default: undefined,
  defaultText: 'no limit',
  parse: parse.optional(parse.duration),
  help: 'with --check: so long ago may a loader have committed or looked for files last',
};
const maxRejectShare: Maybe<number> = {
  flag: '--max-reject-rate',
  placeholder: '<p%>',
  env: 'ECOMPIPE_MAX_REJECT_RATE',
  default: undefined,
  defaultText: 'no limit',
  parse: parse.optional(parse.share),
  help: "with --check: so many of the last hour's rows may have been rejected",
};
const maxQuarantined: Maybe<number> = {
  flag: '--max-quarantined',
  placeholder: '<files>',
  env: 'ECOMPIPE_MAX_QUARANTINED',
  default: undefined,
  defaultText: 'no limit',
  parse: parse.optional(parse.integer(0)),
  help: 'with --check: so many files may have gone to quarantine within an hour',
};

export const status = defineCommand({
  name: 'status',
  summary: 'how the pipeline is doing: backlog, speed, freshness, rejects, latest batches',
  settings: {
    ...connectionSettings,
    incomingDir: { ...incomingDir, flag: '--incoming-dir', placeholder: '<dir>', help: 'where files wait to be moved' },
    processingDir: {
      ...processingDir,
      flag: '--processing-dir',
      placeholder: '<dir>',
      help: 'where files wait to be loaded',
    },
    ...ownDirectories,
    checkpointDir: { ...loadSettings.checkpointDir, help: 'directory of the checkpoint whose owner is looked for' },
    ...feedSettings,
    ...selectionSettings,
    watch: {
      flag: '--watch',
      env: 'ECOMPIPE_WATCH',
      default: false,
      parse: parse.boolean,
      help: 'draw it again and again, until q or Ctrl-C',
    },
    everyMs: {
      flag: '--every',
      placeholder: '<time>',
      env: 'ECOMPIPE_EVERY',
      default: 2000,
      defaultText: '2s',
      parse: parse.duration,
      help: 'with --watch: time between two looks',
    },
    check: {
      flag: '--check',
      env: 'ECOMPIPE_CHECK',
      default: false,
      parse: parse.boolean,
      help: 'exit 7 and say so when a limit does not hold (69: the database is away)',
    },
    maxPending,
    maxPendingMs,
    maxFreshnessMs,
    maxIdleMs,
    maxRejectShare,
    maxQuarantined,
  },
  examples: [
    ['ecompipe status', 'one screen'],
    ['ecompipe status --watch', 'live, until q'],
    ['ecompipe status --check --max-pending 1000', 'for cron, a health check or CI'],
    ['ecompipe status --json', 'for scripts'],
  ],
  run: async ({ watch, everyMs, check, ...settings }, context): Promise<CommandResult> => {
    const [{ withObserver }, { readStatus }, { describeStatus, statusJson }, { findViolations }, { withScreen }] =
      await Promise.all([
        import('../platform/db/readOnlyClient.js'),
        import('../pipeline/status/runStatus.js'),
        import('../pipeline/status/describeStatus.js'),
        import('../pipeline/status/limits.js'),
        import('./screen.js'),
      ]);
    const feeds = await loadFeeds(settings);
    const look = async ({ label, observer }: Parameters<Parameters<typeof withObserver>[2]>[0]) => {
      const found = await readStatus({ ...settings, feeds }, label, observer);
      const violations = check ? findViolations(found, settings) : undefined;
      const exitCode: ExitCode =
        found.unavailable?.exitCode ??
        (violations === undefined || violations.length === 0 ? EXIT.done : EXIT.checkFailed);
      return {
        exitCode,
        json: statusJson(found, violations),
        text: (columns: number) => describeStatus(found, violations, columns),
      };
    };
    if (!watch) {
      const { text, ...result } = await withObserver(settings, context, look);
      // A check of cron or of a container that finds all well is no news; what it finds is.
      return { ...result, isReport: check, text: text(terminalSize(process.stdout)?.columns ?? Infinity) };
    }
    let exitCode: ExitCode = EXIT.done;
    await withScreen(context.stop, async (screen) => {
      // A database that comes into being meanwhile is found by looking again from the start.
      while (!screen.hasEnded()) {
        await withObserver(settings, context, async (observed) => {
          do {
            const seen = await look(observed);
            if (check) exitCode = seen.exitCode;
            screen.draw(context.json ? JSON.stringify(seen.json) : seen.text(screen.columns()));
            await screen.wait(everyMs);
          } while (!screen.hasEnded() && !(observed.observer instanceof Error));
        });
      }
    });
    // All of it has been shown.
    return { json: undefined, exitCode };
  },
});
