import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import pg from 'pg';
import { withConnection } from '../../../src/platform/db/target.js';
import { withDumpReader } from '../../../src/pipeline/migrate/dump/dumpFile.js';
import { loadMigrations } from '../../../src/pipeline/migrate/migrations.js';
import { applyInside } from '../../../src/pipeline/migrate/runMigrate.js';
import { createdProject, embeddedProject } from '../../helpers/embeddedProject.js';
import { run, start, type Ended } from '../../helpers/executable.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';
import { startProxy } from '../../helpers/proxy.js';
import { temporaryDirectory } from '../../platform/files/directories.js';
import { until } from '../../helpers/until.js';

/** PostgreSQL 15 where dumps come from, and the embedded 18 or another database of the 15 where they go. */
const server = await startTestServer({ version: '15' });

/** What a user may have made of the schema: a column, a rule less, tables of one's own with what tables can have. */
const CUSTOMIZED = `
  alter table public.events add column language text constraint events_language_code check (language ~ '^[a-z]{2}$');
  update ecompipe.event_types set needs_price = false;
  alter table public.events drop constraint events_device_known, alter column price type numeric(14, 2);
  create index events_by_country on public.events (country) where country is not null;
  create schema shop;
  create table shop."Order lines" (
    id bigserial primary key,
    number integer generated always as identity (start with 100 increment by 10),
    note text collate "C" default E'a\\\\b',
    "double" integer generated always as (number * 2) stored,
    event_id uuid references public.events,
    unique (number)
  );
  create index on shop."Order lines" (note desc);
  insert into shop."Order lines" (note, event_id) select t.note, (select min(event_id::text)::uuid from public.events)
  from unnest(array[E'\\\\.', E'tab\\there', E'two\\nlines', '', null, 'ä€😀', '\\\\N']) as t (note)`;

/** Loads 40 events, some of them bad, into a database; its directory is the project's. */
async function load(t: TestContext, cwd: string, env: Readonly<Record<string, string>>): Promise<void> {
  const generated = ['--events', '400', '--batch-size', '40', '--interval', '0', '--seed', '7', '--dirt', 'dirty'];
  for (const args of [['generate', ...generated], ['move', '--once'], ['migrate'], ['stream', '--once']])
    await succeed(t, cwd, env, ...args);
}

async function succeed(
  t: TestContext,
  cwd: string,
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<Ended> {
  const ended = await run(t, { cwd, env: { HOME: cwd, ...env } }, ...args);
  assert.equal(ended.exitCode, 0, `${args.join(' ')}: ${ended.stderr}`);
  return ended;
}

type Query = TestDatabase['query'];

/** The rows of all tables and the values of all sequences, each in one text that is the same on every version. */
async function contentOf(query: Query): Promise<Record<string, string>> {
  const tables = await query<{ name: string }>(
    `select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables
     where schemaname in ('public', 'ecompipe', 'analytics', 'shop') order by 1`,
  );
  const content: Record<string, string> = {};
  for (const { name } of tables) {
    const [row] = await query<{ content: string }>(
      `select count(*) || ' ' || coalesce(md5(string_agg(t::text, '' order by t::text collate "C")), '') as content from ${name} t`,
    );
    content[name] = row!.content;
  }
  for (const { name, value } of await query<{ name: string; value: string }>(
    "select schemaname || '.' || sequencename as name, last_value::text as value from pg_sequences",
  ))
    content[name] = value;
  return content;
}

/**
 * Constraints by table and name, columns with type and default (whose parentheses differ between versions), and indexes: names
 * in our schema are written with it or without, as it is that of the embedded server's user.
 */
async function schemaOf(query: Query): Promise<string[]> {
  const rows = await query<{ line: string }>(
    `select concat_ws(' ', n.nspname, c.relname, conname, convalidated, confrelid > 0) as line
       from pg_constraint k join pg_namespace n on n.oid = connamespace join pg_class c on c.oid = conrelid
       where contype <> 'n' and n.nspname in ('public', 'ecompipe', 'analytics', 'shop')
     union all
     select concat_ws(' ', table_schema, table_name, column_name, ordinal_position, data_type, numeric_precision, collation_name,
        is_nullable, is_identity, identity_generation, identity_increment, is_generated, translate(column_default, '()', ''))
       from information_schema.columns where table_schema in ('public', 'ecompipe', 'analytics', 'shop')
     union all
     select schemaname || ' ' || replace(indexdef, 'ecompipe.', '') from pg_indexes where schemaname in ('public', 'ecompipe', 'analytics', 'shop')`,
  );
  return rows.map(({ line }) => line).sort();
}

const emptyDatabase = (): Promise<TestDatabase> => server.createDatabase();

test('a dump of PostgreSQL 15 restores into the embedded 18: every row, sequence and rule, and the ledger with it', async (t) => {
  const cwd = path.dirname(await createdProject(t));
  const source = await emptyDatabase();
  await load(t, cwd, source.env);
  await source.query(CUSTOMIZED);
  assert.match(
    (await succeed(t, cwd, source.env, 'db', 'dump', 'shop.dump.gz')).stdout,
    /^dumped \d+ rows of 21 tables/,
  );
  assert.match((await succeed(t, cwd, {}, 'db', 'restore', 'shop.dump.gz')).stdout, /^restored \d+ rows of 21 tables/);

  const url = (await succeed(t, cwd, {}, 'db', 'url', '--with-password')).stdout.trim();
  const client = new pg.Client(url);
  await client.connect();
  const query: Query = async <Row extends object>(sql: string) =>
    (await client.query<Row & Record<string, unknown>>(sql)).rows as Row[];
  assert.deepEqual(await contentOf(query), await contentOf(source.query));
  assert.deepEqual(await schemaOf(query), await schemaOf(source.query));
  const inserted = await client.query('insert into shop."Order lines" (note) values (null) returning id::int, number');
  assert.deepEqual(inserted.rows, [{ id: 8, number: 170 }]);
  await client.end();

  await succeed(t, cwd, {}, 'verify', '--ledger');
  await succeed(t, cwd, {}, 'verify');
});

test('a stream goes on with a restored database: what was loaded is not loaded again, what comes new is', async (t) => {
  const cwd = path.dirname(await createdProject(t));
  const [source, target] = [await emptyDatabase(), await emptyDatabase()];
  await load(t, cwd, source.env);
  await succeed(t, cwd, source.env, 'db', 'dump', 'shop.dump');
  await succeed(t, cwd, target.env, 'db', 'restore', 'shop.dump');
  const before = await contentOf(target.query);

  const archived = await readdir(path.join(cwd, 'data/archive'), { recursive: true });
  const [file] = archived.filter((name) => name.endsWith('.csv'));
  await copyFile(path.join(cwd, 'data/archive', file!), path.join(cwd, 'data/processing', 'again.csv'));
  // It knows by its checkpoint that the database is another one; what it loaded from there is in the ledger.
  assert.equal((await run(t, { cwd, env: target.env }, 'stream', '--once')).exitCode, 6);
  const again = await succeed(t, cwd, target.env, 'stream', '--once', '--reload-from-archive');
  assert.match(again.stderr, /again\.csv has the content of .* not loaded again/);
  assert.equal((await contentOf(target.query))['public.events'], before['public.events']);

  await succeed(
    t,
    cwd,
    target.env,
    'generate',
    '--events',
    '40',
    '--batch-size',
    '40',
    '--interval',
    '0',
    '--seed',
    '8',
  );
  await succeed(t, cwd, target.env, 'move', '--once');
  await succeed(t, cwd, target.env, 'stream', '--once');
  await succeed(t, cwd, target.env, 'verify', '--ledger');
  const [row] = await target.query<{ pending: number }>(
    'select count(*)::int as pending from analytics.pending_batches',
  );
  const [was] = await source.query<{ pending: number }>(
    'select count(*)::int as pending from analytics.pending_batches',
  );
  assert.equal(row!.pending, was!.pending + 1, 'triggers run again');
});

test('a dump is one snapshot: what commits while it is written is in none of its tables', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const source = await migratedDatabase(server);
  let isCopying = false;
  let letGo: (() => void) | undefined;
  const proxy = await startProxy(source.port, (chunk, fromClient) => {
    // What comes after the rows of events waits until another transaction has committed.
    if (fromClient && chunk.includes('copy "public"."events"')) return { stall: (go) => (letGo = go) };
    if (!fromClient && letGo !== undefined) isCopying = true;
    return 'pass';
  });
  t.after(proxy.close);
  const dump = start(t, { cwd, env: { ...source.env, POSTGRES_PORT: String(proxy.port) } }, 'db', 'dump', 'a.dump');
  await until('the server answers with the rows of events', () => isCopying);
  await source.query(`insert into ecompipe.feeds (name, sha256, content) values ('late', sha256('x'), 'x')`);
  letGo?.();
  assert.equal((await dump.end).exitCode, 0, dump.output());
  const lines = (await readFile(path.join(cwd, 'a.dump'), 'utf8')).trimEnd().split('\n');
  const end = JSON.parse(lines.at(-1)!.slice('end '.length)) as { rows: Record<string, number> };
  assert.equal(end.rows['ecompipe.feeds'], 0);
});

test('Ctrl-C while rows are copied ends a dump with exit code 130, and leaves no file', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const source = await migratedDatabase(server);
  await source.query(
    "insert into ecompipe.feeds (name, sha256, content) select 'f', sha256(n::text::bytea), repeat('x', 9000) from generate_series(1, 2000) n",
  );
  let isHeld = false;
  const proxy = await startProxy(source.port, (chunk, fromClient) => {
    if (fromClient || !chunk.includes('xxxxxxxx')) return 'pass';
    return { stall: () => (isHeld = true) };
  });
  t.after(proxy.close);
  const dump = start(t, { cwd, env: { ...source.env, POSTGRES_PORT: String(proxy.port) } }, 'db', 'dump', 'a.dump.gz');
  await until('rows are on their way', () => isHeld);
  dump.child.kill('SIGINT');
  const { exitCode, stderr } = await dump.end;
  assert.equal(exitCode, 130, stderr);
  assert.match(stderr, /no file was written/);
  assert.deepEqual(await readdir(cwd), []);
});

test('a connection that breaks while a dump is written ends it with exit code 69, and leaves no file', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const source = await migratedDatabase(server);
  const proxy = await startProxy(source.port, (chunk, fromClient) =>
    fromClient && chunk.includes('copy "ecompipe"."file_entries"') ? 'cut-before' : 'pass',
  );
  t.after(proxy.close);
  const env = { ...source.env, POSTGRES_PORT: String(proxy.port) };
  const { exitCode, stderr } = await run(t, { cwd, env }, 'db', 'dump', 'a.dump');
  assert.equal(exitCode, 69, stderr);
  assert.deepEqual(await readdir(cwd), []);
});

test('a restore that is killed or interrupted leaves the database empty, and works when it is run again', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const [source, target] = [await migratedDatabase(server), await emptyDatabase()];
  await succeed(t, cwd, source.env, 'db', 'dump', 'a.dump');
  const killed = await run(
    t,
    { cwd, env: { ...target.env, ECOMPIPE_FAILPOINT: 'copying:2=kill' } },
    'db',
    'restore',
    'a.dump',
  );
  assert.equal(killed.signal, 'SIGKILL');
  const tables = "select from pg_tables where schemaname in ('public', 'ecompipe')";
  assert.equal((await target.query(tables)).length, 0);

  const blocker = await target.connect();
  await blocker.query('begin');
  await blocker.query('create table public.ecompipe_migrations ()');
  const waiting = start(t, { cwd, env: target.env }, 'db', 'restore', 'a.dump');
  const waits = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
  await until(
    'it waits for the table',
    async () => (await source.query(waits.replace('current_database()', `'${target.database}'`))).length > 0,
  );
  waiting.child.kill('SIGINT');
  const { exitCode, stderr } = await waiting.end;
  assert.equal(exitCode, 130, stderr);
  assert.match(stderr, /nothing was restored/);
  await blocker.query('rollback');
  await blocker.end();
  assert.equal((await target.query(tables)).length, 0);

  await succeed(t, cwd, target.env, 'db', 'restore', 'a.dump');
  assert.deepEqual(await contentOf(target.query), await contentOf(source.query));
});

test('a dump overwrites nothing, and is restored into an empty database only', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const source = await migratedDatabase(server);
  await writeFile(path.join(cwd, 'taken'), 'mine');
  const taken = await run(t, { cwd, env: source.env }, 'db', 'dump', 'taken');
  assert.equal(taken.exitCode, 2);
  assert.match(taken.stderr, /taken exists: a dump overwrites nothing/);
  assert.equal(await readFile(path.join(cwd, 'taken'), 'utf8'), 'mine');
  const dumped = JSON.parse((await succeed(t, cwd, source.env, 'db', 'dump', '--json')).stdout) as { file: string };
  assert.match(dumped.file, /^ecompipe-\d{8}-\d{6}Z\.dump\.gz$/);
  assert.equal((await stat(path.join(cwd, dumped.file))).mode & 0o777, 0o600);
  const full = await run(t, { cwd, env: source.env }, 'db', 'restore', dumped.file);
  assert.equal(full.exitCode, 2);
  assert.match(full.stderr, /is not empty: it has public\.ecompipe_migrations/);
});

test('a damaged dump is refused as a whole: cut, changed, or no dump at all', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const [source, target] = [await migratedDatabase(server), await emptyDatabase()];
  await succeed(t, cwd, source.env, 'db', 'dump', 'good.gz');
  const good = gunzipSync(await readFile(path.join(cwd, 'good.gz')));
  const text = good.toString();
  const endAt = text.lastIndexOf('\nend ') + 1;
  const damaged: Record<string, Buffer | string> = {
    'without its end': text.slice(0, endAt),
    'cut in a row': text.slice(0, text.indexOf('view_item\t') + 5),
    'with another value': text.replace('\nview_item\tt', '\nview_item\tf'),
    'without a row': text.replace(/\nrefund\t.*/, ''),
    'a header that is not JSON': text.replace('{', '['),
  };
  const cutGzip = path.join(cwd, 'cut.gz');
  await copyFile(path.join(cwd, 'good.gz'), cutGzip);
  await truncate(cutGzip, (await stat(cutGzip)).size - 20);
  for (const [name, content] of Object.entries(damaged)) await writeFile(path.join(cwd, name), content);
  // Opened, and read only after a connection: by then, the decompression must not have failed where nobody listens.
  await withDumpReader(cutGzip, new AbortController().signal, async (reader) => {
    for (let turn = 0; turn < 1000; turn++) await setImmediate();
    await assert.rejects(async () => {
      await reader.readHeader();
      while (typeof (await reader.next()) === 'string')
        for await (const rows of reader.rows()) assert(Buffer.isBuffer(rows));
    }, /is damaged/);
  });
  for (const name of [...Object.keys(damaged), 'cut.gz']) {
    const { exitCode, stderr } = await run(t, { cwd, env: target.env }, 'db', 'restore', name);
    assert.equal(exitCode, 74, `${name}: ${stderr}`);
    assert.match(stderr, /is damaged.*\n +nothing was restored/);
  }
  await writeFile(path.join(cwd, 'newer'), text.replace('dump 1', 'dump 2'));
  await writeFile(path.join(cwd, 'other'), 'event_id,event_type\n');
  assert.match(
    (await run(t, { cwd, env: target.env }, 'db', 'restore', 'newer')).stderr,
    /written by a newer ecompipe/,
  );
  assert.match((await run(t, { cwd, env: target.env }, 'db', 'restore', 'other')).stderr, /not a dump/);
  assert.equal((await run(t, { cwd, env: target.env }, 'db', 'restore', 'missing')).exitCode, 74);
  assert.equal((await target.query("select from pg_tables where schemaname = 'public'")).length, 0);
});

test('a reader of a dump that is told to stop says so, and not that the dump is damaged', async (t) => {
  const file = path.join(temporaryDirectory(t), 'a.gz');
  await writeFile(
    file,
    gzipSync(`ecompipe dump 1\n${JSON.stringify({ noise: randomBytes(2 ** 20).toString('hex') })}\n`),
  );
  const stop = new AbortController();
  await assert.rejects(
    withDumpReader(file, stop.signal, async (reader) => {
      stop.abort();
      await setImmediate();
      await reader.readHeader();
    }),
    { name: 'AbortError' },
  );
});

test('what a dump does not carry is named, and left out only with --force', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const [source, target] = [await migratedDatabase(server), await emptyDatabase()];
  await source.query('create view ecompipe.mine as select 1 as one; create type public.size as enum ($$s$$, $$l$$)');
  const refused = await run(t, { cwd, env: source.env }, 'db', 'dump', 'a.dump');
  assert.equal(refused.exitCode, 2);
  assert.match(refused.stderr, /db dump does not carry type public\.size, view ecompipe\.mine\n/);
  assert.deepEqual(await readdir(cwd), []);
  const forced = await succeed(t, cwd, source.env, 'db', 'dump', 'a.dump', '--force');
  assert.match(forced.stderr, /warn .*view ecompipe\.mine: left out/);
  await succeed(t, cwd, target.env, 'db', 'restore', 'a.dump');
});

test('what an older ecompipe dumped is migrated after it is restored, and what a newer one dumped is refused', async (t) => {
  const cwd = path.dirname(await embeddedProject(t));
  const source = await migratedDatabase(server);
  const [older, target, other] = [await emptyDatabase(), await emptyDatabase(), await emptyDatabase()];
  const migrations = await loadMigrations();
  await onDatabase(older, {}, (database) =>
    withConnection(database, 'cannot migrate', async (connection) => {
      for (const migration of migrations.slice(0, -1)) await applyInside(connection, migration);
    }),
  );
  await succeed(t, cwd, older.env, 'db', 'dump', 'older.dump');
  const restored = await succeed(t, cwd, target.env, 'db', 'restore', 'older.dump');
  assert.match(restored.stderr, new RegExp(`applied ${migrations.at(-1)!.name}`));
  assert.deepEqual(await schemaOf(target.query), await schemaOf(source.query));

  await source.query(
    "insert into public.ecompipe_migrations (version, name, checksum) values (999, '999_later.sql', 'x')",
  );
  await succeed(t, cwd, source.env, 'db', 'dump', 'later.dump');
  const refused = await run(t, { cwd, env: other.env }, 'db', 'restore', 'later.dump');
  assert.equal(refused.exitCode, 6);
  assert.match(refused.stderr, /newer than this ecompipe: 999_later\.sql/);
});
