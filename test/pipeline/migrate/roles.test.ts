import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { emptyDatabase, project, run, type Ended } from '../../cli/executable.js';
import type { TestDatabase } from '../../helpers/postgres.js';

const ROLES = ['ecompipe_admin', 'ecompipe_loader', 'ecompipe_reader'];

function migrate(t: TestContext, env: Readonly<Record<string, string>>, ...flags: readonly string[]): Promise<Ended> {
  return run(t, { cwd: project(t), env }, 'migrate', ...flags);
}

async function rolesIn(database: TestDatabase): Promise<unknown> {
  return (
    await database.query<{ name: string }>(
      `select rolname as name from pg_roles where rolname like 'ecompipe\\_%' and not rolcanlogin order by 1`,
    )
  ).map(({ name }) => name);
}

async function grantsIn(database: TestDatabase): Promise<{ relation: string; right: string }[]> {
  return await database.query(
    `select c.oid::regclass::text as relation, a.grantee::regrole::text || ' ' || a.privilege_type as right
     from pg_class c, aclexplode(c.relacl) a
     where a.grantee::regrole::text like 'ecompipe\\_%' order by 1, 2`,
  );
}

/** An owner of the database without CREATEROLE. Roles are the server's, which this file has for itself. */
async function owner(t: TestContext, database: TestDatabase): Promise<Readonly<Record<string, string>>> {
  const name = `owner_${database.database}`;
  await database.query(`create role ${name} login password 'x'`);
  await database.query(`alter database ${database.database} owner to ${name}`);
  t.after(() => database.query(`drop owned by ${name} cascade`).catch(() => undefined));
  return { ...database.env, POSTGRES_USER: name, POSTGRES_PASSWORD: 'x' };
}

test('without CREATEROLE it ends with exit code 77 and the lines to run, once; with them it grants', async (t) => {
  const database = await emptyDatabase(t);
  const env = await owner(t, database);
  assert.deepEqual(await rolesIn(database), [], 'the first test finds none');
  const { exitCode, stderr } = await migrate(t, env, '--roles');
  assert.equal(exitCode, 77);
  assert.match(stderr, /cannot create the role ecompipe_reader: .*CREATEROLE[\s\S]*nothing was granted/);
  assert.deepEqual(await grantsIn(database), []);
  const lines = /have a role with CREATEROLE run: (.*;) then/.exec(stderr)?.[1];
  assert.ok(lines, stderr);
  await database.query(lines);
  const again = await migrate(t, env, '--roles');
  assert.equal(again.exitCode, 0, again.stderr);
  assert.ok((await grantsIn(database)).length > 0);
});

test('several at once, in several databases of a server, all end well', async (t) => {
  const databases = await Promise.all(Array.from({ length: 3 }, () => emptyDatabase(t)));
  const ends = await Promise.all([...databases, databases[0]!].map(({ env }) => migrate(t, env, '--roles')));
  assert.deepEqual(
    ends.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr)),
    [0, 0, 0, 0],
  );
  assert.deepEqual(await rolesIn(databases[0]!), ROLES);
  assert.match(ends[0]!.stdout, /ecompipe_reader, ecompipe_loader, ecompipe_admin have their rights in this database/);
  assert.deepEqual(await grantsIn(databases[1]!), await grantsIn(databases[0]!));
});

test('plain migrate renews the rights where they are in use, and grants none where they are not', async (t) => {
  const [using, other] = [await emptyDatabase(t), await emptyDatabase(t)];
  await migrate(t, using.env, '--roles');
  const granted = await grantsIn(using);
  await using.query(
    'revoke all on ecompipe.prunes, ecompipe.feeds from ecompipe_reader, ecompipe_loader, ecompipe_admin',
  );
  assert.notDeepEqual(await grantsIn(using), granted);
  for (const database of [using, other]) assert.equal((await migrate(t, database.env)).exitCode, 0);
  assert.deepEqual(await grantsIn(using), granted);
  assert.deepEqual(await grantsIn(other), []);
});

test('--roles --dry-run grants nothing', async (t) => {
  const database = await emptyDatabase(t);
  await migrate(t, database.env);
  const { exitCode, stdout } = await migrate(t, database.env, '--roles', '--dry-run');
  assert.equal(exitCode, 0);
  assert.match(stdout, /would have their rights/);
  assert.deepEqual(await grantsIn(database), []);
});
