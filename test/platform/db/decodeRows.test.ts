import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type pg from 'pg';
import { openConnection } from '../../../src/platform/db/client.js';
import { resolveConnection, type RawDatabaseSettings } from '../../../src/platform/db/connectionSettings.js';
import {
  arrayOf,
  boolean,
  bytea,
  decodeRows,
  float,
  integer,
  jsonObject,
  nullable,
  oneOf,
  queryAll,
  queryRow,
  queryRows,
  text,
  timestamp,
} from '../../../src/platform/db/decodeRows.js';
import { startTestServer } from '../../helpers/postgres.js';

async function connect(t: TestContext): Promise<pg.Client> {
  const database = await (await startTestServer()).createDatabase();
  t.after(() => database.drop());
  const settings = resolveConnection({ databaseUrl: database.url } as RawDatabaseSettings, {});
  assert.ok(settings !== undefined, 'the URL names a server');
  const connection = await openConnection(settings);
  t.after(() => connection.close());
  return connection.client;
}

const failsWith = (message: string) => (error: unknown) => {
  assert.ok(error instanceof assert.AssertionError);
  assert.equal(error.message, message);
  return true;
};

test('what a query answers is checked by column', async (t) => {
  const client = await connect(t);

  await t.test('a column of each type becomes the field of its name', async () => {
    const rows = await queryRows(
      client,
      {
        fileId: integer,
        name: text,
        p50Ms: float,
        isLast: boolean,
        committedAt: timestamp,
        sha256: bytea,
        state: oneOf('loading', 'loaded'),
        reason: nullable(text),
        ordinals: arrayOf(integer),
        batchIds: arrayOf(integer),
        counts: jsonObject({ read: integer, rejectedAs: nullable(text) }),
      },
      `select $1::bigint as file_id, 'a.csv' as name, 0.5::float8 as p50_ms, true as is_last, timestamptz '2026-01-02 03:04Z' as committed_at,
              decode('ff00', 'hex') as sha256, 'loaded' as state, null as reason, array[1, 2] as ordinals, array[3, 4]::bigint[] as batch_ids,
              json_build_object('read', 3, 'rejectedAs', null) as counts, 'not asked for' as more`,
      [2 ** 53 - 1],
    );
    assert.deepEqual(rows, [
      {
        fileId: 2 ** 53 - 1,
        name: 'a.csv',
        p50Ms: 0.5,
        isLast: true,
        committedAt: new Date('2026-01-02T03:04:00Z'),
        sha256: Buffer.from([255, 0]),
        state: 'loaded',
        reason: null,
        ordinals: [1, 2],
        batchIds: [3, 4],
        counts: { read: 3, rejectedAs: null },
      },
    ]);
  });

  await t.test('one that was renamed fails by its name, and says which there are', async () => {
    await assert.rejects(
      queryRows(client, { batchId: integer, name: text }, `select 1 as id, 'a' as name`),
      failsWith('the query has no column "batch_id", only id, name'),
    );
  });

  await t.test('one that holds something else fails by its name, and does not tell the value', async () => {
    const faults = [
      [integer, 'null', 'should be an integer, and is null'],
      // A sum of bigint is numeric, which arrives as text.
      [integer, 'sum(x) from (values (1::bigint)) as v (x)', 'should be an integer, and is string'],
      [text, '1', 'should be text, and is number'],
      [nullable(boolean), `'yes'`, 'should be a boolean or null, and is string'],
      [oneOf('loading', 'loaded'), `'gone'`, 'should be one of loading, loaded, and is string'],
      [arrayOf(text), 'array[1]', 'should be an array, each element text, and is an array'],
      [
        jsonObject({ read: integer }),
        `json_build_object('red', 1)`,
        'should be an object with read (an integer), and is object',
      ],
    ] as const;
    for (const [type, value, complaint] of faults) {
      const [select, from = ''] = value.split(' from ');
      await assert.rejects(
        queryRows(client, { rowsRead: type }, `select ${select} as rows_read ${from && `from ${from}`}`),
        failsWith(`the query's column "rows_read" ${complaint}`),
      );
    }
  });

  await t.test('a query of one row that answers none fails', async () => {
    await assert.rejects(queryRow(client, { one: integer }, 'select 1 as one where false'), assert.AssertionError);
  });

  await t.test('of several statements each has its result', async () => {
    const results = await queryAll(client, `begin; select 1 as one; commit`);
    assert.deepEqual(
      results.map(({ rows }) => decodeRows({ one: integer }, rows)),
      [[], [{ one: 1 }], []],
    );
    assert.equal((await queryAll(client, 'select 1')).length, 1);
  });
});
