import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Connection } from '../../../src/platform/db/client.js';
import { queryWithCopy } from '../../../src/platform/db/queryWithCopy.js';
import { ConnectionLostError, sqlStateOf } from '../../../src/platform/db/sqlState.js';
import { onDatabase } from '../../helpers/migrated.js';
import { startTestServer } from '../../helpers/postgres.js';

/** A session with an empty table t (n integer primary key). */
async function openTable(t: TestContext): Promise<Connection> {
  const server = await startTestServer();
  const database = await server.createDatabase();
  const connection = await onDatabase(database, {}, (target) => target.open());
  t.after(() => connection.close());
  await connection.client.query('create table public.t (n integer primary key)');
  return connection;
}

async function rowsOf({ client }: Connection): Promise<number[]> {
  return (await client.query<{ n: number }>('select n from public.t order by n')).rows.map(({ n }) => n);
}

const COPY = 'copy public.t from stdin';

test('the statements before a COPY are answered before its rows are asked for', async (t) => {
  const connection = await openTable(t);
  let seen: unknown;
  const copied = await queryWithCopy(
    connection,
    `begin; insert into public.t values (1), (2) returning n; select 'x' as word; ${COPY}`,
    (answered) => {
      seen = answered;
      return [Buffer.from('3\n4'), Buffer.from('0\n')];
    },
  );
  assert.deepEqual(seen, [{ n: 1 }, { n: 2 }, { word: 'x' }]);
  assert.equal(copied, 2);
  await connection.client.query('commit');
  assert.deepEqual(await rowsOf(connection), [1, 2, 3, 40]);
});

test('a COPY may get no rows', async (t) => {
  const connection = await openTable(t);
  assert.equal(await queryWithCopy(connection, `begin; ${COPY}`, () => []), 0);
  await connection.client.query('insert into public.t values (1); commit');
  assert.deepEqual(await rowsOf(connection), [1]);
});

for (const [what, sql, rows, sqlState] of [
  ['a statement before the COPY', `begin; insert into public.t values (1), (1); ${COPY}`, '2\n', '23505'],
  ['the COPY itself', 'begin; copy public.nowhere from stdin', '2\n', '42P01'],
  ['its rows', `begin; ${COPY}`, 'two\n', '22P02'],
] as const) {
  test(`an error in ${what} is thrown, and the session goes on after a rollback`, async (t) => {
    const connection = await openTable(t);
    await assert.rejects(
      queryWithCopy(connection, sql, () => [Buffer.from(rows)]),
      (error) => sqlStateOf(error) === sqlState,
    );
    await connection.client.query('rollback');
    assert.deepEqual(await rowsOf(connection), []);
  });
}

test('what the giver of rows throws after some of them is thrown, and nothing is copied', async (t) => {
  const connection = await openTable(t);
  const failure = new Error('no more rows');
  await assert.rejects(
    queryWithCopy(connection, `begin; ${COPY}`, function* () {
      yield Buffer.from('1\n');
      throw failure;
    }),
    failure,
  );
  assert.equal((await connection.client.query('commit')).command, 'ROLLBACK');
  assert.deepEqual(await rowsOf(connection), []);
});

test('a session that ends before the rows are sent is a lost connection', async (t) => {
  const connection = await openTable(t);
  await assert.rejects(
    queryWithCopy(connection, `begin; select pg_terminate_backend(pg_backend_pid()); ${COPY}`, () => [
      Buffer.from('1\n'),
    ]),
    (error) => error instanceof ConnectionLostError || sqlStateOf(error) === '57P01',
  );
  await assert.rejects(
    queryWithCopy(connection, COPY, () => []),
    ConnectionLostError,
  );
});
