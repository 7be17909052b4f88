import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migratedDatabase } from '../helpers/migrated.js';

test("every function that runs with its owner's rights looks up names safely and is not for everybody", async (t) => {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const functions = await database.query<{
    name: string;
    settings: string | null;
    everybody: boolean;
    definer: boolean;
  }>(
    `select p.oid::regprocedure::text as name, array_to_string(p.proconfig, ';') as settings, p.prosecdef as definer,
            exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) where grantee = 0) as everybody
     from pg_proc p where p.pronamespace in ('ecompipe'::regnamespace, 'analytics'::regnamespace)`,
  );
  const definers = functions.filter(({ definer }) => definer);
  assert.ok(definers.length >= 3);
  for (const { name, settings, everybody } of definers) {
    assert.match(settings ?? '', /search_path=pg_catalog, pg_temp/, name);
    assert.equal(everybody, false, `${name} is executable by PUBLIC`);
  }
  for (const { name, settings } of functions)
    assert.doesNotMatch(settings ?? '', /search_path=pg_catalog(;|$)/, `${name} looks into pg_temp first`);
});

test('a temporary type, function or operator of an analyst is not used by a function of ours', async (t) => {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  await database.query(
    `insert into public.events (event_id, event_type, event_time, user_id, session_id, batch_id)
     values (gen_random_uuid(), 'page_view', now(), 'u', 's', 1);
     insert into analytics.pending_batches values (1, 1)`,
  );
  await database.query(
    `do $$ begin
       create function pg_temp.planted(anyelement) returns boolean language plpgsql as 'begin raise exception ''planted ran''; end';
       create domain pg_temp.date as pg_catalog.date check (pg_temp.planted(value));
       create domain pg_temp.int8 as pg_catalog.int8 check (pg_temp.planted(value));
       create function pg_temp.hashtext(text) returns integer language plpgsql as 'begin raise exception ''planted ran''; end';
       perform analytics.refresh();
       perform analytics.rebuild();
     end $$`,
  );
});
