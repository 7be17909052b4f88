import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run, type Ended } from '../../helpers/executable.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';
import { atEnd } from '../../helpers/atEnd.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const NAMES = readdirSync(path.join(ROOT, 'sql'))
  .filter((name) => /^\d{3}_/.test(name))
  .sort();
const NEXT = `${String(NAMES.length + 1).padStart(3, '0')}_next.sql`;

interface Installation {
  readonly migration: (name: string) => string;
  readonly migrate: (database: TestDatabase, ...flags: readonly string[]) => Promise<Ended>;
}

/** A copy of the program, whose migrations a test may change. */
function install(t: TestContext): Installation {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-migrate-'));
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }));
  for (const part of ['bin', 'dist', 'sql', 'package.json'])
    cpSync(path.join(ROOT, part), path.join(directory, part), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(directory, 'node_modules'));
  return {
    migration: (name) => path.join(directory, 'sql', name),
    migrate: (database, ...flags) =>
      run(
        t,
        { cwd: directory, env: database.env, executable: path.join(directory, 'bin/ecompipe.js') },
        'migrate',
        ...flags,
      ),
  };
}

async function emptyDatabase(): Promise<TestDatabase> {
  return await (await startTestServer()).createDatabase();
}

async function appliedIn(database: TestDatabase): Promise<string[]> {
  const [registry] = await database.query<{ exists: boolean }>(
    `select to_regclass('public.ecompipe_migrations') is not null as exists`,
  );
  if (registry?.exists !== true) return [];
  return (await database.query<{ name: string }>('select name from public.ecompipe_migrations order by version')).map(
    ({ name }) => name,
  );
}

/** What a schema is, for comparing two: its relations, columns, functions and constraints. */
async function shapeOf(database: TestDatabase): Promise<unknown> {
  return await database.query(`
    select 'column' as kind, attrelid::regclass::text || '.' || attname || ' ' || format_type(atttypid, atttypmod) as what
    from pg_attribute join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
    where nspname in ('public', 'ecompipe', 'analytics') and attnum > 0
    union all select 'constraint', conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) from pg_constraint
    union all select 'function', p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname in ('ecompipe', 'analytics')
    order by 1, 2`);
}

test('migrating twice applies each migration once', async (t) => {
  const { migrate } = install(t);
  const database = await emptyDatabase();
  const first = await migrate(database);
  assert.deepEqual([first.exitCode, await appliedIn(database)], [0, NAMES]);
  const second = await migrate(database, '--json');
  assert.equal(second.exitCode, 0);
  const { migrations } = JSON.parse(second.stdout) as { migrations: { state: string }[] };
  assert.ok(migrations.every(({ state }) => state === 'applied'));
});

test('four at once on an empty database all end well, and leave the schema that one leaves', async (t) => {
  const { migrate } = install(t);
  const [alone, crowded] = [await emptyDatabase(), await emptyDatabase()];
  await migrate(alone);
  const ends = await Promise.all(Array.from({ length: 4 }, () => migrate(crowded)));
  assert.deepEqual(
    ends.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr)),
    [0, 0, 0, 0],
  );
  assert.deepEqual(await appliedIn(crowded), NAMES);
  assert.deepEqual(await shapeOf(crowded), await shapeOf(alone));
});

test('--status and --dry-run show what is pending and change nothing', async (t) => {
  const { migrate } = install(t);
  const database = await emptyDatabase();
  const before = await shapeOf(database);
  for (const [flag, state] of [
    ['--status', 'pending'],
    ['--dry-run', 'would apply'],
  ] as const) {
    const { exitCode, stdout } = await migrate(database, flag, '--json');
    const { migrations } = JSON.parse(stdout) as { migrations: { name: string; state: string }[] };
    assert.deepEqual([exitCode, migrations], [0, NAMES.map((name) => ({ name, state }))]);
    assert.deepEqual(await shapeOf(database), before);
  }
});

test('a migration that was edited after it was applied is refused, by name, with exit code 6', async (t) => {
  const { migrate, migration } = install(t);
  const database = await emptyDatabase();
  await migrate(database);
  appendFileSync(migration(NAMES[1]!), '\n-- a harmless remark\n');
  const { exitCode, stderr } = await migrate(database);
  assert.equal(exitCode, 6);
  assert.ok(stderr.includes(`${NAMES[1]} was edited after it was applied`), stderr);
});

test('a checkout with CRLF line ends has the same migrations', async (t) => {
  const { migrate, migration } = install(t);
  const database = await emptyDatabase();
  await migrate(database);
  for (const name of NAMES)
    writeFileSync(migration(name), readFileSync(migration(name), 'utf8').replaceAll('\n', '\r\n'));
  assert.equal((await migrate(database)).exitCode, 0);
});

test('a schema that is newer than the program is refused with exit code 6', async (t) => {
  const [newer, older] = [install(t), install(t)];
  const database = await emptyDatabase();
  writeFileSync(newer.migration(NEXT), 'create table ecompipe.of_tomorrow ();\n');
  assert.equal((await newer.migrate(database)).exitCode, 0);
  const { exitCode, stderr } = await older.migrate(database);
  assert.equal(exitCode, 6);
  assert.match(stderr, /the schema is newer than this ecompipe[\s\S]*install the newer version/);
});

test('a migration that fails leaves nothing of itself, and those before it stay', async (t) => {
  const { migrate, migration } = install(t);
  const database = await emptyDatabase();
  writeFileSync(migration(NEXT), 'create table ecompipe.half_done ();\nselect 1 / 0;\n');
  const failed = await migrate(database);
  assert.notEqual(failed.exitCode, 0);
  assert.ok(failed.stderr.includes(NEXT), failed.stderr);
  assert.deepEqual(await appliedIn(database), NAMES);
  assert.deepEqual(await database.query(`select to_regclass('ecompipe.half_done') as half`), [{ half: null }]);

  writeFileSync(migration(NEXT), 'create table ecompipe.half_done ();\n');
  assert.equal((await migrate(database)).exitCode, 0);
  assert.deepEqual(await appliedIn(database), [...NAMES, NEXT]);
});
