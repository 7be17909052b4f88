import { EXIT, UsageError } from '../platform/errors.js';
import * as parse from '../platform/parsers.js';
import { defineCommand, type CommandResult } from './command.js';
import { databaseSettings } from './settings.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';
import { processingDir } from '../contract/inputSettings.js';

const table = {
  ...databaseSettings,
  file: {
    flag: '--file',
    placeholder: '<name>',
    env: 'ECOMPIPE_FILE',
    default: undefined,
    parse: parse.optional(parse.text),
    help: 'the file, by its name or its SHA-256',
  },
  batchId: {
    flag: '--batch',
    placeholder: '<id>',
    env: 'ECOMPIPE_BATCH',
    default: undefined,
    parse: parse.optional(parse.integer(1)),
    help: 'the batch, with all files in it; a part of a file is refused',
  },
  dryRun: {
    flag: '--dry-run',
    env: 'ECOMPIPE_DRY_RUN',
    default: false,
    parse: parse.boolean,
    help: 'do everything, then roll back',
  },
  yes: {
    flag: '--yes',
    env: 'ECOMPIPE_YES',
    default: false,
    parse: parse.boolean,
    help: 'do not ask for confirmation; needed without a terminal',
  },
  processingDir: { ...processingDir, help: 'where files may still wait' },
  archiveDir: {
    ...loadSettings.archiveDir,
    help: 'where loaded files are; read to tell apart the rows of files that share a batch',
  },
} as const;

export const undo = defineCommand({
  name: 'undo',
  summary: 'undo the load of a file or batch, in one transaction',
  settings: table,
  examples: [
    ['ecompipe undo --file orders.csv --dry-run', 'what would go'],
    ['ecompipe undo --file orders.csv', 'asks, then undoes it'],
    ['ecompipe undo --batch 17 --yes', 'all files of a batch, without asking'],
  ],
  run: async (settings, context): Promise<CommandResult> => {
    const { file, batchId, dryRun, yes, processingDir, archiveDir } = settings;
    if ((file === undefined) === (batchId === undefined))
      throw new UsageError(['undo: expected --file NAME or --batch ID, one of the two']);
    const [{ onDatabase }, { runUndo }, { describeUndo }, { canAsk, confirm }, { remakeRows }] = await Promise.all([
      import('./onConnection.js'),
      import('../pipeline/undo/runUndo.js'),
      import('../pipeline/undo/describeUndo.js'),
      import('./confirm.js'),
      import('../pipeline/stream/feeds/remakeRows.js'),
    ]);
    const target = { file, batchId, loadedDirs: [archiveDir], waitingDirs: [processingDir] };
    return await onDatabase(settings, context, async (database) => {
      if (!dryRun && !yes) {
        const plan = await runUndo({ ...target, dryRun: true }, database, remakeRows);
        if (plan.outcome !== 'already-undone' && !canAsk())
          throw new UsageError(
            ['undo: there is no terminal to ask for confirmation'],
            'check with --dry-run, then pass --yes',
          );
        if (plan.outcome !== 'already-undone' && !(await confirm(`${describeUndo(plan)}\nTake it out?`, context.stop)))
          return { json: { ...plan, outcome: 'declined' }, text: 'nothing was changed', exitCode: EXIT.interrupted };
      }
      const result = await runUndo({ ...target, dryRun }, database, remakeRows);
      return { json: result, text: describeUndo(result) };
    });
  },
});
