import { EXIT, UsageError } from '../platform/errors.js';
import * as parse from '../platform/parsers.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';
import { defineCommand, type CommandResult } from './command.js';
import { databaseSettings } from './settings.js';

const kind = (flag: string, help: string) =>
  ({
    flag,
    env: `ECOMPIPE_PRUNE${flag.slice(1).replace('-', '_').toUpperCase()}`,
    default: false,
    parse: parse.boolean,
    help,
  }) as const;

const table = {
  ...databaseSettings,
  olderThan: {
    flag: '--older-than',
    placeholder: '<age>',
    env: 'ECOMPIPE_OLDER_THAN',
    default: undefined,
    parse: parse.optional(parse.age),
    help: 'an age such as 90d, 12w or 36h',
  },
  events: kind('--events', 'remove events, by event_time'),
  archive: kind('--archive', 'remove files from archive/, by the day they were loaded'),
  ledger: kind('--ledger', 'compact the ledger: what is left of a file without events still stops its redelivery'),
  dryRun: {
    flag: '--dry-run',
    env: 'ECOMPIPE_DRY_RUN',
    default: false,
    parse: parse.boolean,
    help: 'only count; remove nothing',
  },
  yes: {
    flag: '--yes',
    env: 'ECOMPIPE_YES',
    default: false,
    parse: parse.boolean,
    help: 'do not ask for confirmation; needed without a terminal',
  },
  archiveDir: { ...loadSettings.archiveDir, help: 'where loaded files are' },
} as const;

export const prune = defineCommand({
  name: 'prune',
  summary: 'remove what is older: events, archived files, ledger',
  settings: table,
  examples: [
    ['ecompipe prune --older-than 90d --dry-run', 'what would go'],
    ['ecompipe prune --older-than 90d', 'asks, then removes events, archived files and ledger'],
    ['ecompipe prune --older-than 30d --archive --yes', 'only archived files, without asking (for cron)'],
  ],
  run: async (settings, context): Promise<CommandResult> => {
    const { olderThan, dryRun, yes, archiveDir } = settings;
    if (olderThan === undefined)
      throw new UsageError(['prune: expected --older-than AGE'], 'for example --older-than 90d');
    const [{ onDatabase }, { runPrune }, { describePrune }, { canAsk, confirm }] = await Promise.all([
      import('./onConnection.js'),
      import('../pipeline/prune/runPrune.js'),
      import('../pipeline/prune/describePrune.js'),
      import('./confirm.js'),
    ]);
    if (!dryRun && !yes && !canAsk())
      throw new UsageError(
        ['prune: there is no terminal to ask for confirmation'],
        'check with --dry-run, then pass --yes',
      );
    const isAll = !settings.events && !settings.archive && !settings.ledger;
    const wanted = {
      before: new Date(Date.now() - olderThan),
      events: isAll || settings.events,
      archive: isAll || settings.archive,
      ledger: isAll || settings.ledger,
      archiveDir,
    };
    return await onDatabase(settings, context, async (database) => {
      if (!dryRun && !yes) {
        const plan = await runPrune({ ...wanted, dryRun: true }, database, context.stop);
        if (!(await confirm(`${describePrune(plan)}\nRemove it?`, context.stop)))
          return { json: { ...plan, outcome: 'declined' }, text: 'nothing was changed', exitCode: EXIT.interrupted };
      }
      const result = await runPrune({ ...wanted, dryRun }, database, context.stop);
      return { json: result, text: describePrune(result) };
    });
  },
});
