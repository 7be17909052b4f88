import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { versionFromEnvironment, type TestDatabase } from '../../helpers/postgres.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger } from './tables.js';

/** A row that no table takes, so that its batch is staged. */
const POISON = 'poison';

/** What an owner did to a table, or a table of an owner's own, and rows of which the table takes some. */
interface Change {
  readonly sql: readonly string[];
  /** Default: that of events. */
  readonly table?: string;
  /** Default: all columns of events. */
  readonly header?: string;
  readonly rows: readonly string[];
  /** How many of the rows the table takes. */
  readonly accepted: number;
  /** Before it PostgreSQL does not have this. */
  readonly sinceVersion?: 18;
}

const SHORT = 'event_id,event_type,event_time,user_id,session_id';
const short = (n: number): string => `${eventId(n)},page_view,2026-11-22T13:00:00Z,u${n},s`;

const beforeInsert = (body: string): string[] => [
  `create function public.fix() returns trigger language plpgsql as $$ begin ${body} end $$`,
  'create trigger fix before insert on public.events for each row execute function public.fix()',
];

/** A table with one column of a type beside its key. */
function ofType(type: string, values: readonly string[], accepted: number, sql: readonly string[] = []): Change {
  return {
    sql: [...sql, `create table public.things (id integer primary key, value ${type})`],
    table: 'public.things',
    header: 'id,value',
    rows: values.map((value, n) => `${n},${value}`),
    accepted,
  };
}

const CHANGES: Readonly<Record<string, Change>> = {
  'a column default fills a column that the file lacks': {
    sql: ["alter table public.events alter column device set default 'desktop'"],
    header: SHORT,
    rows: [short(1), short(2)],
    accepted: 2,
  },
  'a NOT NULL column has a default': {
    sql: ["alter table public.events alter column device set default 'desktop', alter column device set not null"],
    header: SHORT,
    rows: [short(1), short(2)],
    accepted: 2,
  },
  'a column is added, and files have it': {
    sql: ['alter table public.events add column language text'],
    header: `${SHORT},language`,
    rows: [`${short(1)},de`, `${short(2)},`],
    accepted: 2,
  },
  'a column with an odd name is added, and files have it': {
    sql: ['alter table public.events add column "c1, ""ordinal""" integer not null'],
    header: `${SHORT},"c1, ""ordinal"""`,
    rows: [`${short(1)},7`, `${short(2)},x`, `${short(3)},`],
    accepted: 1,
  },
  'a column is generated': {
    sql: ['alter table public.events add column cents bigint generated always as (price * 100) stored'],
    rows: [eventRow(1), eventRow(2)],
    accepted: 2,
  },
  'a check looks at a generated column': {
    sql: [
      'alter table public.events add column cents bigint generated always as (price * 100) stored',
      'alter table public.events add constraint cheap check (cents < 10000)',
    ],
    rows: [eventRow(1), eventRow(2, { price: '500.00' })],
    accepted: 1,
  },
  'a trigger normalizes what would break a rule': {
    sql: beforeInsert('new.country := upper(new.country); return new;'),
    rows: [eventRow(1, { country: 'de' }), eventRow(2, { country: 'fr' }), eventRow(3, { country: 'd' })],
    accepted: 2,
  },
  'a trigger trims': {
    sql: beforeInsert('new.user_id := btrim(new.user_id); return new;'),
    rows: [eventRow(1, { user_id: 'u ' }), eventRow(2)],
    accepted: 2,
  },
  'a trigger changes the key': {
    sql: beforeInsert(
      "new.event_id := (left(new.event_id::text, 35) || 'f')::uuid; new.user_id := lower(new.user_id); return new;",
    ),
    rows: [eventRow(1), eventRow(17, { user_id: 'U' })],
    accepted: 2,
  },
  'a trigger fills what is required': {
    sql: beforeInsert('new.session_id := coalesce(new.session_id, new.user_id); return new;'),
    rows: [eventRow(1, { session_id: '' }), eventRow(2)],
    accepted: 2,
  },
  'a trigger skips a row': {
    sql: beforeInsert("if new.user_id = 'u2' then return null; end if; return new;"),
    rows: [eventRow(1), eventRow(2), eventRow(3)],
    accepted: 2,
  },
  'a trigger refuses a row': {
    sql: beforeInsert("if new.user_id = 'u2' then raise exception 'no u2'; end if; return new;"),
    rows: [eventRow(1), eventRow(2), eventRow(3)],
    accepted: 2,
  },
  'a trigger refuses a row with a code of its own': {
    sql: beforeInsert("if new.user_id = 'u2' then raise exception using errcode = 'MY001'; end if; return new;"),
    rows: [eventRow(1), eventRow(2), eventRow(3)],
    accepted: 2,
  },
  'a trigger finds its tables by the search path': {
    sql: [
      "create table public.blocked as select 'u2'::text as name",
      ...beforeInsert('if exists (select from blocked where name = new.user_id) then return null; end if; return new;'),
    ],
    rows: [eventRow(1), eventRow(2)],
    accepted: 1,
  },
  'a rule leaves rows out': {
    sql: ["create rule skip as on insert to public.events where new.user_id = 'u2' do instead nothing"],
    rows: [eventRow(1), eventRow(2)],
    accepted: 1,
  },
  'a check is not enforced': {
    sql: ["alter table public.events add constraint wish check (country <> 'FR') not enforced"],
    rows: [eventRow(1, { country: 'FR' })],
    accepted: 1,
    sinceVersion: 18,
  },
  'a check looks at the whole row': {
    sql: [
      "create function public.fine(e public.events) returns boolean language sql immutable as 'select e.user_id <> ''u2'''",
      'alter table public.events add constraint whole check (public.fine(events))',
    ],
    rows: [eventRow(1), eventRow(2)],
    accepted: 1,
  },
  'a foreign key': {
    sql: [
      'create table public.countries (code text primary key)',
      "insert into public.countries values ('DE')",
      'alter table public.events add constraint known_country foreign key (country) references public.countries',
    ],
    rows: [eventRow(1), eventRow(2, { country: 'FR' }), eventRow(3)],
    accepted: 2,
  },
  'a deferred unique constraint': {
    sql: ['alter table public.events add constraint one_session unique (session_id) deferrable initially deferred'],
    rows: [eventRow(1), eventRow(2, { session_id: 's1' }), eventRow(3)],
    accepted: 2,
  },
  'an index that can not hold a long text': {
    sql: ['create index on public.events (page_url)'],
    rows: [
      eventRow(1),
      // Too long for a page of an index, whatever compresses it.
      eventRow(2, {
        page_url: Array.from({ length: 400 }, (_, n) => createHash('sha256').update(`${n}`).digest('base64')).join(''),
      }),
    ],
    accepted: 1,
  },
  'a partitioned table, with a partition for some keys': {
    sql: [
      'create table public.things (shop text, no integer, name varchar(5), primary key (shop, no)) partition by list (shop)',
      "create table public.things_de partition of public.things for values in ('de')",
    ],
    table: 'public.things',
    header: 'no,shop,name',
    rows: ['1,de,a', '2,de,b', '3,fr,c', '4,de,much too long'],
    accepted: 2,
  },
  'an identity column that files bring along': {
    sql: ['create table public.things (id integer generated always as identity primary key, name text)'],
    table: 'public.things',
    header: 'id,name',
    rows: ['7,a', '8,b', 'x,c'],
    accepted: 2,
  },
  'a domain that is NOT NULL': ofType('public.code', ['a', '', 'abcd'], 1, [
    'create domain public.code as varchar(3) not null',
  ]),
  'a domain with a check': ofType('public.even', ['2', '3', '4'], 2, [
    'create domain public.even as integer check (value % 2 = 0)',
  ]),
  'an enum': ofType('public.mood', ['sad', 'Sad', 'happy'], 2, ["create type public.mood as enum ('sad', 'happy')"]),
  'a composite type': ofType('public.pair', ['"(1,x)"', '"(x,1)"'], 1, [
    'create type public.pair as (a integer, b text)',
  ]),
  'an array': ofType('integer[]', ['"{1,2}"', '{x}', '"{1'], 1),
  'an array of short texts': ofType('varchar(3)[]', ['"{abc}"', '"{abcd}"'], 1),
  'a range': ofType('int4range', ['"[1,3)"', '"[3,1)"'], 1),
  json: ofType('json', ['"{""a"":1}"', '{'], 1),
  jsonb: ofType('jsonb', ['"{""a"": 1}"', '{'], 1),
  point: ofType('point', ['"(1,2)"', '1'], 1),
  'varchar(3)': ofType('varchar(3)', ['abc', 'abcd', 'ab   '], 2),
  'char(3)': ofType('char(3)', ['abc', 'abcd', 'a'], 2),
  'bit(3)': ofType('bit(3)', ['101', '1011', '10'], 1),
  'bit varying(3)': ofType('bit varying(3)', ['101', '1011', '10'], 2),
  'numeric(4,1)': ofType('numeric(4,1)', ['1.25', '12345'], 1),
  'timestamp(0)': ofType('timestamp(0)', ['2026-11-22 13:00:00.6', '2026-13-01'], 1),
  'interval hour': ofType('interval hour', ['3', 'x'], 1),
  tsvector: ofType('tsvector', ["'a':1", "'a':x:y"], 1),
  regclass: ofType('regclass', ['events', 'no_such_table'], 1),
  bytea: ofType('bytea', ['\\x00ff', '\\x0'], 1),
  boolean: ofType('boolean', ['yes', 'perhaps'], 1),
  date: ofType('date', ['2026-11-22', '01.02.2026', 'yesterday'], 1),
  time: ofType('time', ['13:00', '25:00', 'now'], 1),
};

async function changed({ sql }: Change): Promise<TestDatabase> {
  const database = await migratedDatabase();
  for (const statement of sql) await database.query(statement);
  return database;
}

/** All that is in the table, but for what differs from load to load. */
async function contentOf(database: TestDatabase, { table = 'public.events' }: Change): Promise<unknown[]> {
  return await database.query(
    `select ((to_jsonb(t) - 'ingested_at') - 'batch_id')::text as row from ${table} t order by 1`,
  );
}

async function rejectsOf(database: TestDatabase): Promise<unknown[]> {
  return await database.query(
    `select convert_from(raw, 'UTF8') as raw, kind, sql_state, column_name, constraint_name, message
     from ecompipe.rejected_rows where raw <> '${POISON}' order by reject_id`,
  );
}

function put(shop: Shop, name: string, { header = HEADER }: Change, rows: readonly string[]): void {
  shop.put(name, [header, ...rows, ''].join('\n'));
}

for (const [what, change] of Object.entries(CHANGES)) {
  const isThere = change.sinceVersion === undefined || versionFromEnvironment() === '18';
  test(
    `${what}: the same is in the table with a bad neighbour as without, and nothing twice`,
    { skip: !isThere },
    async (t) => {
      const { rows, accepted, table } = change;
      const [clean, dirty] = [await changed(change), await changed(change)];
      const settings = table === undefined ? {} : { table };
      const [alone, poisoned] = [openShop(t, settings), openShop(t, settings)];
      put(alone, 'a.csv', change, rows);
      put(poisoned, 'a.csv', change, [POISON, ...rows]);
      const byItself = await load(alone, clean);
      const withNeighbour = await load(poisoned, dirty);
      assert.equal(byItself.rows.inserted, accepted);
      assert.deepEqual(withNeighbour.rows, {
        ...byItself.rows,
        read: byItself.rows.read + 1,
        rejected: byItself.rows.rejected + 1,
      });
      assert.equal((await contentOf(clean, change)).length, accepted);
      assert.deepEqual(await contentOf(dirty, change), await contentOf(clean, change));
      assert.deepEqual(await rejectsOf(dirty), await rejectsOf(clean));
      // The same rows in another file, twice in it.
      const before = await contentOf(clean, change);
      for (const [shop, database] of [
        [alone, clean],
        [poisoned, dirty],
      ] as const) {
        put(shop, 'b.csv', change, [...rows, POISON, ...rows]);
        const again = await load(shop, database);
        assert.deepEqual([again.rows.inserted, again.rows.duplicate], [0, 2 * accepted]);
        assert.deepEqual(await contentOf(database, change), before);
        if (table === undefined && !what.includes('changes the key')) await assertLedger(database);
      }
    },
  );
}
