import { EcompipeError, EXIT, UsageError } from '../platform/errors.js';
import { printable, printableLine, shellQuote } from '../platform/printable.js';
import * as parse from '../platform/parsers.js';
import type { SettingsOf } from '../platform/settings.js';
import { defineCommand, runAction, type Actions, type CommandContext, type CommandResult } from './command.js';
import { databaseSettings } from './settings.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';
import { processingDir } from '../contract/directorySettings.js';

export const rejectsSettings = {
  ...databaseSettings,
  file: {
    flag: '--file',
    placeholder: '<name>',
    env: 'ECOMPIPE_FILE',
    default: undefined,
    parse: parse.optional(parse.text),
    help: 'only rows of this file (its name, or its SHA-256)',
  },
  reason: {
    flag: '--reason',
    placeholder: '<text>',
    env: 'ECOMPIPE_REASON',
    default: undefined,
    parse: parse.optional(parse.text),
    help: 'only rows with this kind, column or constraint, or with this text in the message',
  },
  sqlState: {
    flag: '--sqlstate',
    placeholder: '<code>',
    env: 'ECOMPIPE_SQLSTATE',
    default: undefined,
    parse: parse.optional(parse.text),
    help: 'only rows with this SQLSTATE',
  },
  feed: {
    flag: '--feed',
    placeholder: '<name>',
    env: 'ECOMPIPE_REJECTS_FEED',
    default: undefined,
    parse: parse.optional(parse.text),
    help: 'only rows of files that this feed loaded',
  },
  withoutFeed: {
    flag: '--without-feed',
    env: 'ECOMPIPE_WITHOUT_FEED',
    default: false,
    parse: parse.boolean,
    help: 'only rows of files that no feed loaded',
  },
  all: {
    flag: '--all',
    env: 'ECOMPIPE_ALL',
    default: false,
    parse: parse.boolean,
    help: 'resolved rows too, not only open ones',
  },
  limit: {
    flag: '--limit',
    placeholder: '<n>',
    env: 'ECOMPIPE_LIMIT',
    default: 20,
    parse: parse.integer(0, 100_000),
    help: 'list: so many rows; the summary counts all',
  },
  output: {
    flag: '--output',
    placeholder: '<file>',
    env: 'ECOMPIPE_OUTPUT',
    default: undefined,
    defaultText: 'stdout',
    parse: parse.optional(parse.directory),
    help: 'export: write to a new file',
  },
  escapeFormulas: {
    flag: '--escape-formulas',
    env: 'ECOMPIPE_ESCAPE_FORMULAS',
    default: false,
    parse: parse.boolean,
    help: 'export: an apostrophe before what a spreadsheet would run (= + - @); replay takes it off',
  },
  strict: { ...loadSettings.strict, help: 'replay: exit 3 when rows are still wrong' },
  archiveDir: {
    ...loadSettings.archiveDir,
    help: 'replay: where loaded files lie; read where the number of a record counts',
  },
  quarantineDir: { ...loadSettings.quarantineDir, help: 'replay: where files may lie that are mostly rejects' },
  processingDir: { ...processingDir, help: 'replay: where files may still wait' },
} as const;

type Settings = SettingsOf<typeof rejectsSettings>;

const ACTIONS: Actions<Settings> = {
  list: { run: list },
  show: { target: { placeholder: 'ID', expected: 'the number of a reject' }, run: show },
  export: { run: exportRows },
  replay: { target: { placeholder: 'FILE', expected: 'a file with corrected rows' }, run: replay },
};

export const rejects = defineCommand({
  name: 'rejects',
  args: '<action> [target]',
  summary: 'rejected rows: list, show ID, export, replay FILE',
  settings: rejectsSettings,
  examples: [
    ['ecompipe rejects list', 'why rows were rejected, and the newest of them'],
    ['ecompipe rejects list --file orders.csv --sqlstate 23514 --limit 100', 'of one file and one kind of fault'],
    ['ecompipe rejects show 17', 'the row, its place, the reason, and what to do'],
    ['ecompipe rejects export --output rejects.csv', 'all open ones as CSV, to be corrected'],
    ['ecompipe rejects export --feed rees46 --output rejects.csv', 'those of one feed, in the fields of its files'],
    ['ecompipe rejects replay rejects.csv', 'load what was corrected, exactly once, however often'],
  ],
  run: (values, context) => runAction('rejects', ACTIONS, values, context),
});

function parseId(text: string): number {
  const id = Number(text.replace(/^#/, ''));
  if (!Number.isSafeInteger(id) || id < 1)
    throw new UsageError([
      `rejects show ${JSON.stringify(text)}: expected the number of a reject, as rejects list shows it`,
    ]);
  return id;
}

async function list(values: Settings, context: CommandContext): Promise<CommandResult> {
  const [{ onConnection }, { listRejects }, { describeList }] = await Promise.all([
    import('./onConnection.js'),
    import('../pipeline/rejects/list.js'),
    import('../pipeline/rejects/describeRejects.js'),
  ]);
  const result = await onConnection(values, context, 'cannot read the rejects', (connection) =>
    listRejects(connection, values, values.limit),
  );
  return { json: result, text: describeList(result, values) };
}

async function show(values: Settings, context: CommandContext, [id = '']: readonly string[]): Promise<CommandResult> {
  const rejectId = parseId(id);
  const [{ onConnection }, { showReject }, { describeReject }] = await Promise.all([
    import('./onConnection.js'),
    import('../pipeline/rejects/show.js'),
    import('../pipeline/rejects/describeRejects.js'),
  ]);
  const reject = await onConnection(values, context, 'cannot read the reject', (connection) =>
    showReject(connection, rejectId),
  );
  return { json: reject, text: describeReject(reject) };
}

async function exportRows(values: Settings, context: CommandContext): Promise<CommandResult> {
  const [{ onConnection }, { exportRejects, writeNewFile, writePieces }] = await Promise.all([
    import('./onConnection.js'),
    import('../pipeline/rejects/export.js'),
  ]);
  const { output } = values;
  if (output !== undefined) {
    const rows = await onConnection(values, context, 'cannot export the rejects', (connection) =>
      writeNewFile(output, exportRejects(connection, values, values), context.stop),
    );
    return {
      json: { rows, output },
      text: `${rows} ${rows === 1 ? 'row' : 'rows'} in ${printableLine(output)}\ncorrect them there, then: ecompipe rejects replay ${shellQuote(output)}`,
    };
  }
  // A terminal gets no control characters of a stranger's file; a pipe gets each byte.
  const safe = process.stdout.isTTY ? printable : (text: string): string => text;
  const write = (text: string): Promise<void> =>
    new Promise((resolve, reject) =>
      process.stdout.write(safe(text), (error) => (error == null ? resolve() : reject(error))),
    );
  let hasBegun = false;
  await onConnection(values, context, 'cannot export the rejects', (connection) => {
    // A connection that breaks makes this start again, and what is written can't be taken back.
    if (hasBegun)
      throw new EcompipeError(EXIT.unavailable, {
        what: 'the export broke off',
        why: 'the connection to the database was lost',
        hint: 'do it again; --output FILE writes a file that is whole or not there',
      });
    hasBegun = true;
    return writePieces(exportRejects(connection, values, values), write, context.stop);
  });
  return { json: undefined };
}

async function replay(
  values: Settings,
  context: CommandContext,
  [file = '']: readonly string[],
): Promise<CommandResult> {
  const [{ assertReadable }, { onDatabase }, { runReplay }, { replayRows }, { describeReplay }] = await Promise.all([
    import('../platform/files/assertReadable.js'),
    import('./onConnection.js'),
    import('../pipeline/rejects/replay.js'),
    import('../pipeline/stream/replay.js'),
    import('../pipeline/rejects/describeRejects.js'),
  ]);
  await assertReadable(file);
  const directories = [values.archiveDir, values.quarantineDir, values.processingDir];
  const result = await onDatabase(values, context, (database) =>
    runReplay(file, database, replayRows, directories, context.stop),
  );
  const isIncomplete = result.rejected + result.unknown > 0;
  return {
    json: result,
    text: describeReplay(result, file),
    exitCode: values.strict && isIncomplete ? EXIT.rowsRejected : EXIT.done,
  };
}
