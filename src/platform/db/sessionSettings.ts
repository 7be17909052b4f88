import assert from 'node:assert/strict';
import type pg from 'pg';
import { decodeRows, integer, jsonObject, queryAll, text } from './decodeRows.js';
import { soleRow } from './soleRow.js';

interface SessionSetting {
  readonly name: string;
  readonly value: string;
  /** What goes wrong where the server, the database or the role says something else. */
  readonly because: string;
}

/**
 * Settings that every session of ours pins (PostgreSQL manual, chapter 20): the meaning of a value, and how long a
 * statement may take, must not depend on what the server, the database (`alter database … set`), the role or PGOPTIONS
 * say. Those that a server does not know are left out.
 */
export const SESSION_SETTINGS: readonly SessionSetting[] = [
  {
    name: 'search_path',
    value: 'pg_catalog, pg_temp',
    because: 'nobody may shadow a function, type or operator that we use (PostgreSQL manual, 5.10.6)',
  },
  { name: 'client_encoding', value: 'UTF8', because: 'files are UTF-8' },
  { name: 'timezone', value: 'UTC', because: 'times without a zone are UTC' },
  { name: 'timezone_abbreviations', value: 'Default', because: 'EST and the like mean the same everywhere' },
  { name: 'datestyle', value: 'ISO, YMD', because: 'the server refuses 01.02.2026 instead of guessing' },
  { name: 'intervalstyle', value: 'postgres', because: 'a negative interval is read the same everywhere' },
  { name: 'bytea_output', value: 'hex', because: 'content is compared as text' },
  { name: 'extra_float_digits', value: '1', because: 'floats are compared by their shortest exact text' },
  { name: 'standard_conforming_strings', value: 'on', because: 'a backslash in a literal is a backslash' },
  { name: 'escape_string_warning', value: 'on', because: 'its warnings would go into the log' },
  { name: 'array_nulls', value: 'on', because: 'NULL in an array parameter would become the text "NULL"' },
  { name: 'transform_null_equals', value: 'off', because: '`= null` would change its meaning' },
  { name: 'xmloption', value: 'content', because: 'a fragment is valid xml' },
  { name: 'lc_monetary', value: 'C', because: 'money is read the same everywhere' },
  { name: 'row_security', value: 'on', because: 'off makes a statement fail where a policy applies' },
  { name: 'default_transaction_isolation', value: 'read committed', because: 'each statement looks afresh' },
  { name: 'default_transaction_deferrable', value: 'off', because: 'a proof must not wait for every writer' },
  { name: 'statement_timeout', value: '0', because: 'a large batch may take long' },
  { name: 'lock_timeout', value: '0', because: 'each transaction says itself how long it waits' },
  { name: 'transaction_timeout', value: '0', because: 'a whole file in one transaction may take long' },
  { name: 'idle_in_transaction_session_timeout', value: '0', because: 'a range waits for the ones before it' },
  { name: 'idle_session_timeout', value: '0', because: 'a stream may be idle for days' },
];

const values = SESSION_SETTINGS.map(({ name, value }) => `('${name}', '${value}')`).join(', ');

/**
 * One statement for all of them. `synchronous_commit = off` (some distributions ship it so) would let a crash of the
 * server take back a batch whose files are gone already; any other value waits at least for this server's disk, and stays.
 * `client_connection_check_interval`: a server finds that we were killed only when it writes to us; one that waits for a
 * lock, in an open transaction, would keep what it holds for as long as that takes. Only some systems can look.
 */
export const PIN_SETTINGS = `
  select pg_catalog.set_config(s.name, s.value, false)
  from (values ${values}) as s (name, value)
  where pg_catalog.current_setting(s.name, true) is not null
  union all
  select pg_catalog.set_config('synchronous_commit', 'on', false)
  where pg_catalog.current_setting('synchronous_commit') operator(pg_catalog.=) 'off'
  union all
  select pg_catalog.set_config('client_connection_check_interval', '1s', false)
  where pg_catalog.current_setting('client_connection_check_interval', true) is not null
    and pg_catalog.version() operator(pg_catalog.~) 'linux'`;

/** What a session was before it was pinned. */
export interface SessionOrigin {
  /** As a number, such as 180004. */
  readonly serverVersion: number;
  /** The `search_path` that the role, the database or the server gave it. */
  readonly userPath: string;
  /** The server's process for it, and when that and the server itself started: no other session has all three. */
  readonly backend: { readonly pid: number; readonly startedAt: string; readonly serverStartedAt: string };
}

/** Pins the settings of a new session. */
export async function pinSessionSettings(client: pg.Client): Promise<SessionOrigin> {
  const [origin] = await queryAll(
    client,
    `
    select pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as server_version,
           pg_catalog.current_setting('search_path') as user_path,
           pg_catalog.json_build_object('pid', a.pid, 'startedAt', extract(epoch from a.backend_start)::pg_catalog.text,
             'serverStartedAt', extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.text) as backend
    from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) as a;
    ${PIN_SETTINGS}`,
  );
  assert(origin !== undefined, 'the first of several statements has a result');
  const backend = jsonObject({ pid: integer, startedAt: text, serverStartedAt: text });
  return soleRow(decodeRows({ serverVersion: integer, userPath: text, backend }, origin.rows));
}

/**
 * Runs a statement that fires code of other people (triggers, functions in constraints and defaults) under the
 * `search_path` that any session of the role has: that code may count on it. Part of the caller's transaction; where the
 * action fails, rolling back takes the path back, too. The statement itself must be qualified to its last name.
 */
export async function withUserPath<T>(
  { client, userPath }: { readonly client: pg.Client; readonly userPath: string },
  action: () => Promise<T>,
): Promise<T> {
  await client.query(`select pg_catalog.set_config('search_path', $1, true)`, [userPath]);
  const result = await action();
  await client.query(`set local search_path = pg_catalog, pg_temp`);
  return result;
}
