import { testChanges, type Change } from './changedTables.js';

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

/** Tables of owners’ own. */
const TABLES: Readonly<Record<string, Change>> = {
  'an exclusion constraint': {
    ...ofType('int4range', ['"[1,3)"', '"[2,5)"', '"[3,9)"'], 2),
    sql: ['create table public.things (id integer primary key, value int4range, exclude using gist (value with &&))'],
  },
  'columns named like those of the stage': {
    sql: [
      'create table public.things (ordinal integer primary key, e text, t text, r text, place text, c1 text, "ecompipe#place" text, check (t <> e))',
    ],
    table: 'public.things',
    header: 't,e,ordinal,r,place,c1,ecompipe#place',
    rows: ['a,b,1,c,d,e,f', 'a,a,2,c,d,e,f', 'a,b,x,c,d,e,f'],
    accepted: 1,
  },
  'names with capitals, blanks, quotes and letters of any kind, in a schema of its own': {
    sql: [
      'create schema "Läden"',
      `create table "Läden"."Ding ""1""" ("Schlüssel %s" integer primary key, "A 'B'" text constraint "nicht $1" check ("A 'B'" <> 'x'))`,
    ],
    table: '"Läden"."Ding ""1"""',
    header: "Schlüssel %s,A 'B'",
    rows: ['1,a', '2,x', 'y,b'],
    accepted: 1,
  },
  'a key of two columns, in another order than the table’s': {
    sql: ['create table public.things (a integer, b text, c text, primary key (b, a))'],
    table: 'public.things',
    header: 'c,a,b',
    rows: ['x,1,p', 'x,1,q', 'x,2,p', 'y,1,p', 'x,1,'],
    accepted: 3,
  },
  'a table that another inherits from, which has the same keys': {
    sql: [
      'create table public.things (id integer primary key, name text)',
      'create table public.more () inherits (public.things)',
      "insert into public.more values (1, 'other'), (2, 'b')",
    ],
    table: 'public.things',
    header: 'id,name',
    rows: ['1,a', '2,b', 'x,c'],
    accepted: 2,
    present: 2,
  },
  'a key that ignores case': {
    sql: [
      "create collation public.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
      'create table public.things (id text collate public.caseless primary key, value text)',
    ],
    table: 'public.things',
    header: 'id,value',
    rows: ['a,1', 'A,2', 'b,3'],
    accepted: 2,
    needs: "create collation public.probe (provider = icu, locale = 'und')",
  },
  'a key of type citext': {
    sql: [
      'create extension citext schema public',
      'create table public.things (id public.citext primary key, value text)',
    ],
    table: 'public.things',
    header: 'id,value',
    rows: ['a,1', 'A,2', 'b,3'],
    accepted: 2,
    needs: 'create extension citext',
  },
  ltree: {
    ...ofType('public.ltree', ['a.b', 'a..b'], 1, ['create extension ltree schema public']),
    needs: 'create extension ltree',
  },
  xml: { ...ofType('xml', ['<a/>', '<a'], 1), needs: "select '<a/>'::xml" },
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

testChanges(TABLES);
