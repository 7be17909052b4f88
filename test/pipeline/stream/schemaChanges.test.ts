import { createHash } from 'node:crypto';
import { eventId, eventRow } from '../../helpers/events.js';
import { testChanges, type Change } from './changedTables.js';

const SHORT = 'event_id,event_type,event_time,user_id,session_id';
const short = (n: number): string => `${eventId(n)},page_view,2026-11-22T13:00:00Z,u${n},s`;

const beforeInsert = (body: string): string[] => [
  `create function public.fix() returns trigger language plpgsql as $$ begin ${body} end $$`,
  'create trigger fix before insert on public.events for each row execute function public.fix()',
];

/** What owners do to events. */
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
  'an index that cannot hold a long text': {
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
  'a unique index beside the key, of an expression and some rows': {
    sql: ["create unique index on public.events (lower(user_id)) where country = 'DE'"],
    rows: [
      eventRow(1, { country: 'DE' }),
      eventRow(2, { country: 'DE', user_id: 'U1' }),
      eventRow(3, { country: 'FR', user_id: 'U1' }),
    ],
    accepted: 2,
  },
  'a trigger looks at all rows of a statement': {
    sql: [
      "create function public.fix() returns trigger language plpgsql as $$ begin if exists (select from added where user_id = 'u2') then raise exception 'no u2'; end if; return null; end $$",
      'create trigger fix after insert on public.events referencing new table as added for each statement execute function public.fix()',
    ],
    rows: [eventRow(1), eventRow(2), eventRow(3)],
    accepted: 2,
  },
  'a trigger that waits for the commit refuses a row': {
    sql: [
      "create function public.fix() returns trigger language plpgsql as $$ begin if new.user_id = 'u2' then raise exception 'no u2'; end if; return null; end $$",
      'create constraint trigger fix after insert on public.events deferrable initially deferred for each row execute function public.fix()',
    ],
    rows: [eventRow(1), eventRow(2), eventRow(3)],
    accepted: 2,
  },
  'a rule puts rows elsewhere': {
    sql: [
      'create table public.elsewhere (event_id uuid)',
      "create rule elsewhere as on insert to public.events where new.user_id = 'u2' do instead insert into public.elsewhere values (new.event_id)",
    ],
    rows: [eventRow(1), eventRow(2)],
    accepted: 1,
  },
  'a virtual generated column, and a check of it': {
    sql: [
      'alter table public.events add column cents bigint generated always as (price * 100) virtual',
      'alter table public.events add constraint cheap check (cents < 10000)',
    ],
    rows: [eventRow(1), eventRow(2, { price: '500.00' })],
    accepted: 1,
    sinceVersion: 18,
  },
  'a NOT NULL that is not valid for the rows before': {
    sql: ['alter table public.events add constraint device_there not null device not valid'],
    rows: [eventRow(1, { device: 'mobile' }), eventRow(2, { device: '' })],
    accepted: 1,
    sinceVersion: 18,
  },
};

testChanges(CHANGES);
