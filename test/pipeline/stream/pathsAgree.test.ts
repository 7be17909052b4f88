import assert from 'node:assert/strict';
import { mock, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { DirectPathBreaker } from '../../../src/pipeline/stream/directPathBreaker.js';
import { eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { load, openShop } from './harness.js';

/** What owners do to the table, each alone or with others. */
const ALTERATIONS = [
  'alter table public.events alter column price type numeric(5, 1)',
  "alter table public.events alter column device set default 'desktop'",
  'alter table public.events add column cents bigint generated always as (price * 100) stored',
  "alter table public.events add constraint short check (length(user_id) < 3 or user_id like 'u1%')",
  'create unique index on public.events (session_id)',
  'alter table public.events alter column country type varchar(2)',
  'create domain public.amount as integer check (value <> 7); alter table public.events alter column quantity type public.amount',
  `create function public.fix() returns trigger language plpgsql as $$ begin
     new.country := upper(new.country);
     if new.user_id = 'skip' then return null; end if;
     if new.user_id = 'raise' then raise exception 'no'; end if;
     return new;
   end $$;
   create trigger fix before insert on public.events for each row execute function public.fix()`,
  `create table public.shops (code text primary key); insert into public.shops values ('DE'), ('FR');
   alter table public.events add constraint known foreign key (country) references public.shops deferrable initially deferred`,
] as const;

const row = fc
  .record({
    n: fc.integer({ min: 0, max: 6 }),
    fields: fc.record(
      {
        user_id: fc.constantFrom('u', 'u1x', 'longer', 'skip', 'raise', '" "', ''),
        session_id: fc.constantFrom('a', 'b', 'c', '""'),
        country: fc.constantFrom('DE', 'de', 'FR', 'USA', ''),
        price: fc.constantFrom('1', '1.25', '99999', '-1', 'x', ''),
        quantity: fc.constantFrom('1', '7', '0', '1e3', ''),
        device: fc.constantFrom('mobile', 'Mobile', ''),
        event_time: fc.constantFrom('2026-11-22T13:00:00Z', '20261122', '1/2/26', 'now', '2026-13-01'),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ n, fields }) => eventRow(n, fields));

const scene = fc.record({
  alterations: fc.subarray([...ALTERATIONS], { maxLength: 3 }),
  files: fc.array(fc.array(row, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 }),
});

/** All that loading leaves behind, but for what differs from run to run. */
async function outcome(
  t: TestContext,
  { alterations, files }: { alterations: readonly string[]; files: readonly (readonly string[])[] },
): Promise<unknown> {
  const database = await migratedDatabase();
  try {
    for (const sql of alterations) await database.query(sql);
    const shop = openShop(t);
    // One after the other: which file is first must not depend on the path.
    for (const [index, rows] of files.entries()) {
      shop.put(`${index}.csv`, [HEADER, ...rows, ''].join('\n'));
      await load(shop, database);
    }
    return {
      events: await database.query(
        "select ((to_jsonb(e) - 'ingested_at') - 'batch_id')::text as row from public.events e order by event_id",
      ),
      rejects: await database.query(
        "select name, line, convert_from(raw, 'UTF8') as raw, kind, sql_state, column_name, constraint_name, message from ecompipe.rejected_rows join ecompipe.files using (file_id) order by name, line",
      ),
      duplicates: await database.query(
        'select name, line, key from ecompipe.duplicate_rows join ecompipe.files using (file_id) order by name, line',
      ),
    };
  } finally {
    await database.drop();
  }
}

test('whatever was done to the table, both paths leave the same rows, rejects and duplicates behind', async (t) => {
  await fc.assert(
    fc.asyncProperty(scene, async (drawn) => {
      const direct = await outcome(t, drawn);
      const breaker = mock.method(DirectPathBreaker.prototype, 'skipDirect', () => true);
      try {
        assert.deepEqual(await outcome(t, drawn), direct);
      } finally {
        breaker.mock.restore();
      }
    }),
    { numRuns: 60, interruptAfterTimeLimit: 20_000, endOnFailure: true },
  );
});
