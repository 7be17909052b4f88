import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import { asAccount } from '../../../src/platform/db/embedded/account.js';
import { csv, project, run, start } from '../../cli/executable.js';
import { eventFile } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { PASSWORD, startTestServer, temporaryDirectory, USER, type TestDatabase } from '../../helpers/postgres.js';
import { freePort } from '../../helpers/ports.js';
import { startProxy } from '../../helpers/proxy.js';
import { startRestartableServer, type RestartableServer } from '../../helpers/restartableServer.js';
import { until } from '../../helpers/until.js';

const TIMEOUT = { timeout: 120_000 };
/** Debian's client programs of PostgreSQL 15, which `.ci/run` installs. */
const PG_BIN = '/usr/lib/postgresql/15/bin';

function drop(t: TestContext): { readonly cwd: string; readonly put: (name: string, text: string) => string } {
  const cwd = project(t);
  const processing = path.join(cwd, 'data/processing');
  mkdirSync(processing, { recursive: true });
  return {
    cwd,
    put: (name, text) => {
      const file = path.join(processing, name);
      writeFileSync(file, text);
      return file;
    },
  };
}

/** The client programs work with servers of their own version and older ones. */
async function startOn15(): Promise<RestartableServer> {
  const before = process.env['ECOMPIPE_TEST_PG'];
  process.env['ECOMPIPE_TEST_PG'] = '15';
  try {
    return await startRestartableServer();
  } finally {
    if (before === undefined) delete process.env['ECOMPIPE_TEST_PG'];
    else process.env['ECOMPIPE_TEST_PG'] = before;
  }
}

async function countOf(database: TestDatabase): Promise<unknown> {
  return (
    await database.query('select count(*)::int as n, count(distinct event_id)::int as ids from public.events')
  )[0];
}

test('a server without a free connection is waited for, by a new stream and by one that runs', TIMEOUT, async (t) => {
  const server = await startRestartableServer({
    max_connections: '8',
    superuser_reserved_connections: '0',
  });
  t.after(() => server.remove());
  const database = await migratedDatabase(server);
  const { cwd, put } = drop(t);
  const taken: pg.Client[] = [];
  const takeAll = async (): Promise<void> => {
    for (;;) {
      try {
        taken.push(await database.connect());
      } catch (error) {
        assert.equal((error as pg.DatabaseError).code, '53300');
        return;
      }
    }
  };
  const giveBack = async (): Promise<void> => {
    await Promise.all(taken.splice(0).map((client) => client.end()));
  };
  await takeAll();
  put('a.csv', csv(3));
  const gaveUp = await run(t, { cwd, env: database.env }, 'stream', '--once', '--retry-for', '1');
  assert.equal(gaveUp.exitCode, 69, gaveUp.stderr);
  assert.match(gaveUp.stderr, /53300[^]*hint: the server is out of a resource/);
  const running = start(t, { cwd, env: database.env }, 'stream');
  await running.said('53300');
  await giveBack();
  await until('the file is loaded', () => readdirSync(path.join(cwd, 'data/processing')).length === 0, 30_000);
  // While it runs, somebody takes the rest: it has what it needs, or waits.
  await takeAll();
  const file = put('b.csv', eventFile(100, 120));
  await giveBack();
  await until('the second file is loaded', () => !existsSync(file), 30_000);
  running.child.kill('SIGTERM');
  assert.equal((await running.end).exitCode, 0);
  assert.deepEqual(await countOf(database), { n: 23, ids: 23 });
});

test(
  'a dump of a database that is being loaded, restored elsewhere, is told from it and goes on exactly once',
  TIMEOUT,
  async (t) => {
    if (!existsSync(PG_BIN)) {
      t.skip('needs the client programs of PostgreSQL 15');
      return;
    }
    const server = await startOn15();
    t.after(() => server.remove());
    const database = await migratedDatabase(server);
    const { cwd, put } = drop(t);
    put('a.csv', eventFile(0, 500));
    const running = start(t, { cwd, env: database.env }, 'stream', '--batch-bytes', '4096');
    await until(
      'it has begun',
      async () => (await database.query('select from public.events limit 1')).length === 1,
      30_000,
    );
    const dump = execFileSync(path.join(PG_BIN, 'pg_dump'), ['--dbname', database.url], { maxBuffer: 2 ** 28 });
    put('b.csv', eventFile(1000, 1200));
    await until('all is loaded', async () => ((await countOf(database)) as { n: number }).n === 700, 30_000);
    running.child.kill('SIGTERM');
    assert.equal((await running.end).exitCode, 0);
    const restored = await server.createDatabase();
    const { status, stderr } = spawnSync(
      path.join(PG_BIN, 'psql'),
      ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', '--dbname', restored.url],
      { input: dump, encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    const refused = await run(t, { cwd, env: restored.env }, 'stream', '--once');
    assert.equal(refused.exitCode, 6, refused.stderr);
    assert.match(refused.stderr, /--reload-from-archive/);
    const reloaded = await run(t, { cwd, env: restored.env }, 'stream', '--once', '--reload-from-archive');
    assert.equal(reloaded.exitCode, 0, reloaded.stderr);
    assert.deepEqual(await countOf(restored), { n: 700, ids: 700 });
    const proved = await run(t, { cwd, env: restored.env }, 'verify', '--ledger');
    assert.equal(proved.exitCode, 0, proved.stderr + proved.stdout);
  },
);

/** A hot standby of a server, made by pg_basebackup; asynchronous, as most are. */
async function createStandby(t: TestContext, primary: RestartableServer) {
  const { account } = primary;
  const home = await temporaryDirectory('ecompipe-test-standby-', account);
  t.after(() => rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  const data = path.join(home, 'data');
  const env = { PATH: process.env['PATH'], PGPASSWORD: PASSWORD };
  const from = ['--host', '127.0.0.1', '--port', String(primary.port), '--username', USER];
  const options = ['--pgdata', data, '--write-recovery-conf', '--wal-method', 'stream', '--checkpoint', 'fast'];
  execFileSync(path.join(PG_BIN, 'pg_basebackup'), [...from, ...options], { env, ...asAccount(account) });
  const port = await freePort();
  const settings = [
    '-D',
    data,
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    'unix_socket_directories=',
  ];
  let server: ChildProcess | undefined;
  const query = async (sql: string, database = 'postgres'): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: USER, password: PASSWORD, database });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const start = async (): Promise<void> => {
    server = spawn(path.join(PG_BIN, 'postgres'), settings, { stdio: 'ignore', cwd: home, env, ...asAccount(account) });
    t.after(() => server?.kill('SIGQUIT'));
    await until(
      'the standby answers',
      () =>
        query('select 1').then(
          () => true,
          () => false,
        ),
      30_000,
    );
  };
  const stop = async (): Promise<void> => {
    const ended = once(server!, 'exit');
    server!.kill('SIGINT');
    await ended;
  };
  return { port, query, start, stop };
}

test(
  'a standby that lagged is promoted while a stream runs: what it lacks is told, and comes back exactly once',
  TIMEOUT,
  async (t) => {
    if (!existsSync(PG_BIN)) {
      t.skip('needs PostgreSQL 15 of Debian');
      return;
    }
    const primary = await startOn15();
    t.after(() => primary.remove());
    const database = await migratedDatabase(primary);
    const standby = await createStandby(t, primary);
    await standby.start();
    let current = primary.port;
    const proxy = await startProxy(
      () => current,
      () => 'pass',
    );
    t.after(() => proxy.close());
    const { cwd, put } = drop(t);
    const env = { ...database.env, POSTGRES_PORT: String(proxy.port) };
    const stream = start(t, { cwd, env }, 'stream', '--retry-for', '60');
    const loaded = (file: string): Promise<void> => until(`${file} is loaded`, () => !existsSync(file), 30_000);
    await loaded(put('a.csv', eventFile(0, 500)));
    const events = async (): Promise<unknown> =>
      (
        await standby.query(
          'select count(*)::int as n, count(distinct event_id)::int as ids from public.events',
          database.database,
        )
      )[0];
    await until('the standby has it', async () => ((await events()) as { n: number }).n === 500, 30_000);
    await standby.stop();
    await loaded(put('b.csv', eventFile(1000, 1200)));
    await primary.stop('immediate');
    current = standby.port;
    await standby.start();
    proxy.cutAll();
    put('c.csv', eventFile(2000, 2100));
    await stream.said('a standby that has not received everything yet');
    await standby.query('select pg_promote()');
    const ended = await stream.end;
    assert.equal(ended.exitCode, 6, ended.stderr);
    assert.match(ended.stderr, /--reload-from-archive[^]*b\.csv/);
    const reloaded = await run(t, { cwd, env }, 'stream', '--once', '--reload-from-archive');
    assert.equal(reloaded.exitCode, 0, reloaded.stderr);
    assert.deepEqual(await events(), { n: 800, ids: 800 });
  },
);

test('a schema that belongs to another role than the one that loads is used as it is', TIMEOUT, async (t) => {
  const database = await migratedDatabase(await startTestServer());
  const owner = `owner_${database.database}`;
  const loader = `loader_${database.database}`;
  await database.query(`
    create role ${owner};
    create role ${loader} login password 'x';
    do $$
    declare
      relation regclass;
      routine regprocedure;
    begin
      for relation in select c.oid from pg_class c where c.relnamespace in ('ecompipe'::regnamespace, 'analytics'::regnamespace) and c.relkind in ('r', 'v') loop
        execute format('alter table %s owner to ${owner}', relation);
      end loop;
      for routine in select p.oid from pg_proc p where p.pronamespace in ('ecompipe'::regnamespace, 'analytics'::regnamespace) loop
        execute format('alter routine %s owner to ${owner}', routine);
      end loop;
    end $$;
    alter schema ecompipe owner to ${owner};
    alter schema analytics owner to ${owner};
    alter table public.events owner to ${owner};
    alter table public.ecompipe_migrations owner to ${owner};
    grant ${owner} to ${loader}`);
  const { cwd, put } = drop(t);
  put('a.csv', csv(5, 2));
  const env = { ...database.env, POSTGRES_USER: loader, POSTGRES_PASSWORD: 'x' };
  for (const args of [
    ['migrate'],
    ['stream', '--once'],
    ['undo', '--file', 'a.csv', '--yes'],
    ['stream', '--once'],
    ['verify', '--ledger'],
  ]) {
    if (args[0] === 'undo') put('again.csv', csv(5, 2));
    const { exitCode, stderr } = await run(t, { cwd, env }, ...args);
    assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
  }
  assert.deepEqual(await countOf(database), { n: 5, ids: 5 });
});
