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

const ignore = (): void => undefined;

test('the statements before a COPY are answered, and its rows are copied', async (t) => {
  const connection = await openTable(t);
  const seen: unknown[] = [];
  const copied = await queryWithCopy(
    connection,
    `begin; insert into public.t values (1), (2) returning n; select 'x' as word; ${COPY}`,
    [Buffer.from('3\n4'), Buffer.from('0\n')],
    (row) => seen.push(row),
  );
  assert.deepEqual(seen, [{ n: 1 }, { n: 2 }, { word: 'x' }]);
  assert.equal(copied, 2);
  await connection.client.query('commit');
  assert.deepEqual(await rowsOf(connection), [1, 2, 3, 40]);
});

test('a COPY may get no rows', async (t) => {
  const connection = await openTable(t);
  assert.equal(await queryWithCopy(connection, `begin; ${COPY}`, [], ignore), 0);
  await connection.client.query('insert into public.t values (1); commit');
  assert.deepEqual(await rowsOf(connection), [1]);
});

test('rows are sent whole, whatever fits into one write', async (t) => {
  const connection = await openTable(t);
  const numbers = Array.from({ length: 100_000 }, (_, n) => n);
  const chunks = [numbers.slice(0, 70_000), numbers.slice(70_000)].map((some) => Buffer.from(`${some.join('\n')}\n`));
  assert.equal(await queryWithCopy(connection, `begin; ${COPY}`, chunks, ignore), numbers.length);
  await connection.client.query('commit');
  assert.deepEqual(await rowsOf(connection), numbers);
});

for (const [what, sql, rows, sqlState] of [
  ['a statement before the COPY', `begin; insert into public.t values (1), (1); ${COPY}`, '2\n', '23505'],
  ['the COPY itself', 'begin; copy public.nowhere from stdin', '2\n', '42P01'],
  ['its rows', `begin; ${COPY}`, 'two\n', '22P02'],
] as const) {
  test(`an error in ${what} is thrown, its rows are dropped, and the session goes on after a rollback`, async (t) => {
    const connection = await openTable(t);
    await assert.rejects(
      queryWithCopy(connection, sql, [Buffer.from(rows)], ignore),
      (error) => sqlStateOf(error) === sqlState,
    );
    await connection.client.query('rollback');
    assert.deepEqual(await rowsOf(connection), []);
    // What was sent before its time is no part of what comes next.
    assert.equal(await queryWithCopy(connection, `begin; ${COPY}`, [Buffer.from('7\n')], ignore), 1);
    await connection.client.query('commit');
    assert.deepEqual(await rowsOf(connection), [7]);
  });
}

test('what was answered is told, also where a later statement fails', async (t) => {
  const connection = await openTable(t);
  const seen: unknown[] = [];
  await assert.rejects(
    queryWithCopy(connection, `begin; select 1 as n; ${COPY}`, [Buffer.from('two\n')], (row) => seen.push(row)),
    (error) => sqlStateOf(error) === '22P02',
  );
  assert.deepEqual(seen, [{ n: 1 }]);
});

test('what the giver of rows throws after some of them is thrown, and nothing is sent', async (t) => {
  const connection = await openTable(t);
  const failure = new Error('no more rows');
  const rows = function* (): Generator<Buffer> {
    yield Buffer.from('1\n');
    throw failure;
  };
  await assert.rejects(queryWithCopy(connection, `begin; ${COPY}`, rows(), ignore), failure);
  assert.deepEqual(await rowsOf(connection), []);
});

test('a session that ends before the rows arrive is a lost connection', async (t) => {
  const connection = await openTable(t);
  await assert.rejects(
    queryWithCopy(
      connection,
      `begin; select pg_terminate_backend(pg_backend_pid()); ${COPY}`,
      [Buffer.from('1\n')],
      ignore,
    ),
    (error) => error instanceof ConnectionLostError || sqlStateOf(error) === '57P01',
  );
  await assert.rejects(queryWithCopy(connection, COPY, [], ignore), ConnectionLostError);
});
