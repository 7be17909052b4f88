import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { csv, migratedDatabase, project, run } from '../cli/executable.js';
import { eventFile } from '../helpers/events.js';
import type { TestDatabase } from '../helpers/postgres.js';

const ROOT = path.join(import.meta.dirname, '../..');

test('every function of ours has a search_path of its own, or a body whose names are bound', async (t) => {
  const database = await migratedDatabase(t);
  const loose = await database.query(
    `select p.oid::regprocedure::text as name from pg_proc p
     where p.pronamespace in ('ecompipe'::regnamespace, 'analytics'::regnamespace) and p.prosqlbody is null
       and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)`,
  );
  // Its table may be replaced, so that its names can't be bound; the next test attacks it.
  assert.deepEqual(loose, [{ name: 'analytics.events_of(bigint[])' }]);
  const open = await database.query(
    `select p.oid::regprocedure::text as name from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     where p.pronamespace in ('ecompipe'::regnamespace, 'analytics'::regnamespace) and p.prosecdef and a.grantee = 0`,
  );
  assert.deepEqual(open, [], 'what runs with the rights of the owner is not for everybody');
});

/** Names of functions that our statements call: whatever stands before a parenthesis in a source file. */
function calledNames(): Set<string> {
  const names = new Set<string>();
  for (const directory of ['src', 'sql'])
    for (const name of readdirSync(path.join(ROOT, directory), { recursive: true, encoding: 'utf8' }))
      if (/\.(ts|sql)$/.test(name) && !name.endsWith('schema.sql'))
        for (const [, word] of readFileSync(path.join(ROOT, directory, name), 'utf8').matchAll(/\b([a-z_]\w*) ?\(/g))
          names.add(word!);
  return names;
}

/**
 * What somebody who may create objects in `public` would plant: functions, operators and a domain that fit the arguments of
 * our statements better than PostgreSQL's own where these need a cast. Each notes that it was called, and by whom.
 */
async function plantShadows(database: TestDatabase): Promise<void> {
  const names = [...calledNames()].map((name) => `'${name}'`).join(', ');
  await database.query(`
    create table public.caught (what text);
    grant insert on public.caught to public;
    set search_path = pg_catalog;
    do $plant$
    declare
      builtin record;
      kind text;
      operator_name text;
    begin
      for builtin in
        select distinct p.proname, p.pronargs from pg_proc p
        where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('f', 'a') and p.pronargs between 1 and 4 and p.proname in (${names})
      loop
        foreach kind in array array['text', 'varchar', 'name', 'integer', 'bigint', 'smallint', 'bytea', 'uuid', 'timestamptz', 'boolean', 'regclass', 'oid', 'json', 'text[]', 'bigint[]', 'integer[]', 'name[]'] loop
          execute format('create function public.%I(%s) returns text language plpgsql as $f$ begin insert into public.caught values (%L || '' in '' || pg_catalog.current_query()); return null; end $f$',
            builtin.proname, array_to_string(array_fill(kind, array[builtin.pronargs::integer]), ', '), builtin.proname || '(' || kind || ')');
        end loop;
      end loop;
      foreach kind in array array['uuid', 'integer', 'bigint', 'smallint', 'regclass', 'oid', 'bytea', 'boolean'] loop
        execute format('create function public.catch_operator(a %s, b text) returns boolean language plpgsql as $f$ begin insert into public.caught values (''operator''); return true; end $f$', kind);
      end loop;
      foreach kind in array array['integer', 'bigint', 'text'] loop
        execute format('create function public.catch_join(a %1$s[], b %1$s[]) returns %1$s[] language plpgsql as $f$ begin insert into public.caught values (''||''); return a; end $f$', kind);
        execute format('create operator public.|| (leftarg = %1$s[], rightarg = %1$s[], function = public.catch_join)', kind);
      end loop;
      execute 'create function public.format(text, text, text, text, text) returns text language plpgsql as $f$ begin insert into public.caught values (''format''); return null; end $f$';
      foreach operator_name in array array['=', '<>', '<', '>', '<=', '>=', '~', '||'] loop
        foreach kind in array array['uuid', 'integer', 'bigint', 'smallint', 'regclass', 'oid', 'bytea', 'boolean'] loop
          execute format('create operator public.%s (leftarg = %s, rightarg = text, function = public.catch_operator)', operator_name, kind);
        end loop;
      end loop;
    end
    $plant$;
    create function public.catch_value(v text) returns boolean language plpgsql as $f$ begin insert into public.caught values ('domain'); return true; end $f$;
    create domain public.uuid as text check (public.catch_value(value));
    create domain public.date as text check (public.catch_value(value));
    create domain public.regclass as text check (public.catch_value(value));
    create table public.files (file_id bigint);
    create table public.pg_locks (pid integer);
    reset search_path`);
}

/** A day of a shop: every command that asks the database, each way to load. */
async function runEverything(t: TestContext, env: Readonly<Record<string, string>>): Promise<void> {
  const cwd = project(t);
  const processing = path.join(cwd, 'data/processing');
  mkdirSync(processing, { recursive: true });
  mkdirSync(path.join(cwd, 'feeds'));
  writeFileSync(
    path.join(cwd, 'feeds/tabs.yaml'),
    `match: '*.tsv'\nformat: { delimiter: "\\t" }\ncolumns:\n  event_id: { derive: [who, at] }\n  event_type: { value: page_view }\n  event_time: { from: at }\n  user_id: who\n  session_id: who\n`,
  );
  const step = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(t, { cwd, env }, ...args);
    assert.ok(exitCode === 0, `${args.join(' ')}: ${exitCode}\n${stderr}${stdout}`);
    return stdout;
  };
  writeFileSync(path.join(processing, 'direct.csv'), eventFile(100, 200));
  await step('stream', '--once');
  writeFileSync(path.join(processing, 'staged.csv'), csv(5, 2) + csv(5).split('\n').slice(1).join('\n'));
  writeFileSync(path.join(processing, 'ranges.csv'), eventFile(1000, 1400));
  await step('stream', '--once', '--batch-bytes', '8192');
  writeFileSync(path.join(processing, 'whole.csv'), eventFile(2000, 2100));
  writeFileSync(path.join(processing, 'fed.tsv'), 'who\tat\nann\t2026-11-01T10:00:00Z\n');
  await step('stream', '--once', '--atomic-file');
  await step('rejects', 'list');
  await step('rejects', 'export', '--output', 'r.csv');
  const file = path.join(cwd, 'r.csv');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^([^,]+),no_such_type/gm, '$1,page_view'));
  await step('rejects', 'replay', 'r.csv');
  await step('trace', '00000000-0000-7000-8000-000000000001');
  await step('status');
  await step('verify', '--ledger');
  await step('undo', '--file', 'direct.csv', '--yes');
  await step('prune', '--older-than', '24h', '--yes');
  await step('migrate', '--status');
  await step('migrate');
}

test('nobody who may create objects in public can have a command of ours run them', { timeout: 120_000 }, async (t) => {
  const database = await migratedDatabase(t);
  await plantShadows(database);
  await runEverything(t, database.env);
  await database.query('select analytics.refresh()');
  assert.deepEqual(await database.query('select distinct what from public.caught order by 1'), []);
});

test('what a trigger calls without saying where is found where any session of the role finds it', async (t) => {
  const database = await migratedDatabase(t);
  const name = database.database;
  await database.query(`
    create schema shop;
    create table shop.audit (event_id uuid, path text);
    create function shop.remember() returns trigger language plpgsql as $$ begin
      insert into audit values (coalesce(new.event_id, old.event_id), current_setting('search_path'));
      return coalesce(new, old);
    end $$;
    create trigger remember before insert or delete on public.events for each row execute function shop.remember();
    alter database ${name} set search_path = shop, public`);
  const cwd = project(t);
  const processing = path.join(cwd, 'data/processing');
  mkdirSync(processing, { recursive: true });
  const env = database.env;
  for (const [file, rows] of [
    ['good.csv', csv(5)],
    ['bad.csv', csv(4, 1).replaceAll('00000000-', '00000001-')],
  ] as const) {
    writeFileSync(path.join(processing, file), rows);
    const { exitCode, stderr } = await run(t, { cwd, env }, 'stream', '--once');
    assert.equal(exitCode, 0, stderr);
  }
  const undone = await run(t, { cwd, env }, 'undo', '--file', 'good.csv', '--yes');
  assert.equal(undone.exitCode, 0, undone.stderr);
  assert.deepEqual(
    await database.query(
      'select count(*)::int as n, min(path) as a, max(path) as b from shop.audit where event_id is not null',
    ),
    [{ n: 5 + 4 + 5, a: 'shop, public', b: 'shop, public' }],
  );
});
