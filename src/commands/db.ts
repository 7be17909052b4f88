import { UsageError } from '../platform/errors.js';
import * as parse from '../platform/parsers.js';
import type { SettingsOf } from '../platform/settings.js';
import { defineCommand, runAction, type Actions, type CommandContext, type CommandResult } from './command.js';
import { databaseSettings } from './settings.js';

const table = {
  ...databaseSettings,
  withPassword: {
    flag: '--with-password',
    env: 'ECOMPIPE_WITH_PASSWORD',
    default: false,
    parse: parse.boolean,
    help: 'with url: with the password; other users of the machine can read command lines',
  },
  force: {
    flag: '--force',
    env: 'ECOMPIPE_FORCE',
    default: false,
    parse: parse.boolean,
    help: 'with stop: even while other commands use it; with dump: leave out what a dump cannot hold',
  },
} as const;

type Settings = SettingsOf<typeof table>;

const KEPT_RUNNING = 'the embedded PostgreSQL keeps running until `ecompipe db stop`';

const ACTIONS: Actions<Settings> = {
  psql: { passesOn: true, run: psql },
  dump: { target: { placeholder: '[FILE]', expected: 'one file', isOptional: true }, run: dump },
  restore: { target: { placeholder: 'FILE', expected: 'a file that db dump has written' }, run: restore },
  url: { run: url },
  status: { run: status },
  start: { run: start },
  stop: { run: stop },
};

export const db = defineCommand({
  name: 'db',
  args: '<action> [args...]',
  summary: 'the database: psql, dump, restore; the embedded one: url, status, start, stop',
  settings: table,
  examples: [
    ['ecompipe db psql', 'a shell on the database'],
    ["ecompipe db psql -- -c 'select count(*) from events'", 'what follows -- is for psql'],
    ['ecompipe db dump shop.dump.gz', 'all tables, in one file; nothing but Node is needed'],
    ['ecompipe db restore shop.dump.gz', 'into an empty database'],
    ['ecompipe db status', 'whether the embedded server runs, and its versions'],
    ['ecompipe db start', 'keep it running until db stop'],
    ['ecompipe db stop', 'stop it'],
  ],
  run: (settings, context) => runAction('db', ACTIONS, settings, context),
});

async function psql(settings: Settings, context: CommandContext, args: readonly string[]): Promise<CommandResult> {
  const [{ withDatabase }, { runPsql }, { embeddedProgram }] = await Promise.all([
    import('../platform/db/target.js'),
    import('../platform/db/psql.js'),
    import('../platform/db/embedded/index.js'),
  ]);
  const { stop: signal } = context;
  const exitCode = await withDatabase(settings, context, async ({ settings: connection }) => {
    context.yieldInterrupts();
    return await runPsql(connection, { args, fallback: await embeddedProgram('psql'), signal });
  });
  return { json: undefined, exitCode };
}

async function dump(settings: Settings, context: CommandContext, args: readonly string[]): Promise<CommandResult> {
  const [file = defaultDumpName(new Date())] = args;
  const [{ withDatabase }, { writeDump, describeDump }] = await Promise.all([
    import('../platform/db/target.js'),
    import('../pipeline/migrate/dump/writeDump.js'),
  ]);
  const options = { force: settings.force, log: context.log, stop: context.stop };
  const result = await withDatabase(settings, context, (database) => writeDump(database, file, options));
  return { text: describeDump(result), json: result, isReport: true };
}

/** `ecompipe-20261129-070924Z.dump.gz`. */
function defaultDumpName(now: Date): string {
  return `ecompipe-${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}Z.dump.gz`;
}

async function restore(
  settings: Settings,
  context: CommandContext,
  [file = '']: readonly string[],
): Promise<CommandResult> {
  const [{ assertReadable }, { withDatabase }, { restoreDump, describeRestore }] = await Promise.all([
    import('../platform/files/assertReadable.js'),
    import('../platform/db/target.js'),
    import('../pipeline/migrate/dump/restoreDump.js'),
  ]);
  await assertReadable(file);
  const result = await withDatabase(settings, context, (database) => restoreDump(database, file, context));
  return { text: describeRestore(result), json: result, isReport: true };
}

async function url(settings: Settings, context: CommandContext): Promise<CommandResult> {
  const { embeddedDir: directory, withPassword } = settings;
  const { embeddedUrl } = await onlyEmbedded(settings, 'url');
  const found = await embeddedUrl({ directory, log: context.log, signal: context.stop, withPassword });
  context.log.info('database_kept', KEPT_RUNNING);
  return { text: found, json: { url: found } };
}

async function status(settings: Settings, context: CommandContext): Promise<CommandResult> {
  const { embeddedStatus, describeEmbedded } = await onlyEmbedded(settings, 'status');
  const found = await embeddedStatus({ directory: settings.embeddedDir, signal: context.stop });
  return { text: describeEmbedded(found), json: found };
}

async function start(settings: Settings, context: CommandContext): Promise<CommandResult> {
  const { startEmbedded } = await onlyEmbedded(settings, 'start');
  const { host, port, database, user } = await startEmbedded({
    directory: settings.embeddedDir,
    log: context.log,
    signal: context.stop,
  });
  return { text: `${host}:${port}/${database}: ${KEPT_RUNNING}`, json: { host, port, database, user } };
}

async function stop(settings: Settings, context: CommandContext): Promise<CommandResult> {
  const { stopEmbedded } = await import('../platform/db/embedded/index.js');
  const { embeddedDir: directory, force } = settings;
  const stopped = await stopEmbedded({ directory, log: context.log, signal: context.stop, force });
  return { text: stopped ? 'stopped' : 'it was not running', json: { stopped } };
}

/** For what makes sense with the embedded server only. @throws UsageError when the other commands use another one. */
async function onlyEmbedded(
  settings: Settings,
  action: string,
): Promise<typeof import('../platform/db/embedded/index.js')> {
  const [embedded, { describeConnection, resolveConnection }] = await Promise.all([
    import('../platform/db/embedded/index.js'),
    import('../platform/db/connectionSettings.js'),
  ]);
  const configured = resolveConnection(settings, process.env);
  if (configured === undefined) return embedded;
  throw new UsageError(
    [
      `db ${action} is about the embedded PostgreSQL, but the other commands use ${describeConnection(configured)}, as DATABASE_URL, POSTGRES_* or PG* say`,
    ],
    'ecompipe db psql connects to that one; unset it to use the embedded one',
  );
}
