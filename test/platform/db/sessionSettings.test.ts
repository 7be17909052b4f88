import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openConnection, type Connection } from '../../../src/platform/db/client.js';
import { resolveConnection, type RawDatabaseSettings } from '../../../src/platform/db/connectionSettings.js';
import { SESSION_SETTINGS } from '../../../src/platform/db/sessionSettings.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';

/** A value of each setting that would change what a statement of ours means, or end it. */
const HOSTILE: Readonly<Record<string, string>> = {
  search_path: 'public',
  client_encoding: 'LATIN1',
  timezone: 'Asia/Tokyo',
  timezone_abbreviations: 'Australia',
  datestyle: 'German, DMY',
  intervalstyle: 'sql_standard',
  bytea_output: 'escape',
  extra_float_digits: '-10',
  standard_conforming_strings: 'off',
  escape_string_warning: 'off',
  array_nulls: 'off',
  transform_null_equals: 'on',
  xmloption: 'document',
  lc_monetary: 'POSIX',
  row_security: 'off',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  statement_timeout: '500',
  lock_timeout: '500',
  transaction_timeout: '500',
  idle_in_transaction_session_timeout: '500',
  idle_session_timeout: '500',
};

async function connect({ url }: TestDatabase): Promise<Connection> {
  const settings = resolveConnection({ databaseUrl: url } as RawDatabaseSettings, {});
  assert.ok(settings !== undefined, 'the URL names a server');
  return await openConnection(settings);
}

test('every pinned setting wins over what the database says', async (t) => {
  const server = await startTestServer();
  const database = await server.createDatabase();
  t.after(() => database.drop());
  const known = new Set(
    (await database.query<{ name: string }>('select lower(name) as name from pg_catalog.pg_settings')).map(
      ({ name }) => name,
    ),
  );
  for (const { name } of SESSION_SETTINGS.filter((setting) => known.has(setting.name))) {
    assert.ok(HOSTILE[name] !== undefined, `${name} has a hostile value in this test`);
    await database.query(
      `do $$ begin execute format('alter database %I set ${name} = %L', current_database(), '${HOSTILE[name]}'); end $$`,
    );
  }
  await database.query(
    "do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$",
  );
  const connection = await connect(database);
  t.after(() => connection.close());
  for (const { name, value } of SESSION_SETTINGS.filter((setting) => known.has(setting.name))) {
    const { rows } = await connection.client.query<{ value: string }>('select current_setting($1) as value', [name]);
    assert.equal(rows[0]?.value.toLowerCase(), value.toLowerCase(), name);
  }
  const { rows } = await connection.client.query('show synchronous_commit');
  assert.deepEqual(rows, [{ synchronous_commit: 'on' }]);
});

test('a synchronous_commit that waits for standbys is left as it is', async (t) => {
  const server = await startTestServer();
  const database = await server.createDatabase();
  t.after(() => database.drop());
  await database.query(
    "do $$ begin execute format('alter database %I set synchronous_commit = remote_apply', current_database()); end $$",
  );
  const connection = await connect(database);
  t.after(() => connection.close());
  const { rows } = await connection.client.query('show synchronous_commit');
  assert.deepEqual(rows, [{ synchronous_commit: 'remote_apply' }]);
});
