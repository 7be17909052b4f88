import assert from 'node:assert/strict';
import test from 'node:test';
import { loadMigrations } from '../../src/pipeline/migrate/migrations.js';
import { runMigrate, validateConstraints } from '../../src/pipeline/migrate/runMigrate.js';
import { silentLogger } from '../../src/platform/log.js';
import { sqlStateOf } from '../../src/platform/db/sqlState.js';
import { withConnection } from '../../src/platform/db/target.js';
import { withTransaction } from '../../src/platform/db/transaction.js';
import { databaseBefore, migratedDatabase, onDatabase } from '../helpers/migrated.js';
import { versionFromEnvironment, type TestDatabase } from '../helpers/postgres.js';

const CHEAPER = 14;

interface Rule {
  readonly name: string;
  readonly condition: string;
  readonly definition: string;
  /** In the order in which a reject looks for the one to name. */
  readonly columns: readonly string[];
  readonly validated: boolean;
}

const rulesOf = (database: TestDatabase, table = 'public.events'): Promise<Rule[]> =>
  database.query<Rule & Record<string, unknown>>(
    `select conname as name, pg_get_expr(conbin, conrelid) as condition, pg_get_constraintdef(oid) as definition, convalidated as validated,
            array(select attname::text from unnest(conkey) with ordinality as k (attnum, position) join pg_attribute a using (attnum)
                  where a.attrelid = conrelid order by k.position) as columns
     from pg_constraint where conrelid = '${table}'::regclass and contype = 'c' order by conname`,
  );

async function ruleOf(database: TestDatabase, name: string): Promise<Rule | undefined> {
  return (await rulesOf(database)).find((rule) => rule.name === name);
}

/** Names of the rules that are defined otherwise than before. */
function redefined(before: readonly Rule[], after: readonly Rule[]): string[] {
  return after.filter(({ definition }, index) => definition !== before[index]!.definition).map(({ name }) => name);
}

/** Those that compare a text with a list: of devices, or of types. */
const RULES_WITH_LISTS = [
  'events_device_known',
  'events_event_type_known',
  'events_order_required',
  'events_product_required',
  'events_quantity_required',
  'events_search_term_required',
];

const migrate = (database: TestDatabase): Promise<unknown> =>
  onDatabase(database, {}, (target) => runMigrate(target, 'apply', { log: silentLogger }));

/** The migration's own statements, without what `migrate` does afterwards. */
async function cheaperRules(): Promise<string> {
  const { sql } = (await loadMigrations())[CHEAPER - 1]!;
  return sql;
}

const PAGE_VIEW = `insert into public.events (event_id, event_type, event_time, user_id, session_id)
  select gen_random_uuid(), 'page_view', now(), 'u', 's'`;

/** Values on both sides of every rule: all texts of two ASCII characters, all characters of two bytes, all types, and so on. */
const SAMPLE = `
  create table public.sample as select * from public.events limit 0;
  insert into public.sample (country) select chr(a) || chr(b) from generate_series(1, 127) a, generate_series(1, 127) b;
  insert into public.sample (country) select chr(c) from generate_series(1, 2047) c;
  insert into public.sample (country) values (null), (''), ('DEU'), ('DE '), ('D😀');
  insert into public.sample (currency)
  select concat(a, b, c) from (select array['', '@', 'A', 'M', 'Z', '[', '\`', 'a', 'z', '1', ' ', 'Ä', 'É']) as l (l), unnest(l) a, unnest(l) b, unnest(l) c;
  insert into public.sample (currency) values (null), ('USD'), ('EUR'), ('EUR '), ('eur'), ('Usd'), ('USDE');
  insert into public.sample (device) values (null), (''), ('mobile'), ('desktop'), ('tablet'), ('Mobile'), ('mobile '), ('toaster'), ('möbile');
  insert into public.sample (price, currency) select p, c from unnest(array[null, 0, -0.01, 1, 'NaN']::numeric[]) p, unnest(array[null, 'EUR', 'CHF']) c;
  insert into public.sample (quantity) values (null), (-1), (0), (1);
  insert into public.sample (event_time) values (null), ('infinity'), ('-infinity'), ('2026-01-01Z');
  insert into public.sample (event_type, product_id, price, quantity, order_id, search_term)
  select t, p, case when p <> '' then 1 end, q, o, s
  from (select event_type from ecompipe.event_types union all values (null), (''), ('share'), ('View_item'), ('view_item '), ('页面')) as e (t),
       unnest(array[null, '', 'p']) p, unnest(array[null, 1]) q, unnest(array[null, '', 'o']) o, unnest(array[null, '', 's']) s`;

/** Rows of the sample on which two definitions of a rule differ, and those that break the second. */
async function compare(database: TestDatabase, former: Rule, rule: Rule): Promise<{ differ: number; broken: number }> {
  const [counts] = await database.query<{ differ: number; broken: number }>(
    `select count(*) filter (where (${former.condition}) is distinct from (${rule.condition}))::int as differ,
            count(*) filter (where not (${rule.condition}))::int as broken
     from public.sample`,
  );
  return counts!;
}

test('each rule says after the migration what it said before, of the same columns', async () => {
  const database = await databaseBefore(CHEAPER);
  const before = await rulesOf(database);
  await migrate(database);
  const after = await rulesOf(database);
  assert.deepEqual(
    after.map(({ name, columns, validated }) => ({ name, columns, validated })),
    before.map(({ name, columns, validated }) => ({ name, columns, validated })),
  );
  assert.deepEqual(redefined(before, after), ['events_country_code', 'events_currency_code', ...RULES_WITH_LISTS]);
  await database.query(SAMPLE);
  for (const [index, rule] of after.entries()) {
    const { differ, broken } = await compare(database, before[index]!, rule);
    assert.equal(differ, 0, rule.name);
    assert.ok(broken > 0, `${rule.name} is broken by a row of the sample`);
  }
});

test('columns that became varchar get the new rules; those of other types, or that compare without regard to case, keep the old ones', async () => {
  const database = await databaseBefore(CHEAPER);
  await database.query(`
    create collation public.of_any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    alter table public.events alter event_type type varchar(50), alter device type varchar(20), alter country type char(2),
      alter currency type text collate public.of_any_case`);
  const before = await rulesOf(database);
  await migrate(database);
  assert.deepEqual(redefined(before, await rulesOf(database)), RULES_WITH_LISTS);
});

test('what a user made of the rules stays as it is, and rows that break an old one only keep it from being validated', async () => {
  const database = await databaseBefore(CHEAPER);
  const isNew = versionFromEnvironment() === '18';
  await database.query(`
    alter table public.events drop constraint events_device_known;
    alter table public.events rename constraint events_currency_code to shop_currency;
    alter table public.events drop constraint events_country_code, add constraint events_country_code check (country ~ '^[A-Z]{2}$');
    alter table public.events drop constraint events_search_term_required,
      add constraint events_search_term_required check (search_term is not null or event_type <> all ('{search}'::text[])) ${isNew ? 'not enforced' : 'no inherit'};
    alter table public.events drop constraint events_quantity_required, add constraint events_quantity_required
      check (quantity is not null or event_type <> all ('{add_to_cart,remove_from_cart,purchase,refund}'::text[]) or event_time < '2020-01-01Z');
    alter table public.events drop column product_id;
    alter table public.events drop constraint events_order_required;
    insert into public.events (event_id, event_type, event_time, user_id, session_id, quantity) values (gen_random_uuid(), 'purchase', now(), 'u', 's', 1);
    alter table public.events add constraint events_order_required check (order_id is not null or event_type <> all ('{purchase,refund}'::text[])) not valid;
    comment on constraint events_order_required on public.events is 'since 2026'`);
  const before = await rulesOf(database);
  await migrate(database);
  const after = await rulesOf(database);
  const ours = ['events_event_type_known', 'events_order_required'];
  const others = (rules: readonly Rule[]): Rule[] => rules.filter(({ name }) => !ours.includes(name));
  assert.deepEqual(others(after), others(before));
  const order = after.find(({ name }) => name === 'events_order_required');
  assert.deepEqual(
    [order?.definition, order?.validated],
    [
      "CHECK (((order_id IS NOT NULL) OR ((event_type <> 'purchase'::text) AND (event_type <> 'refund'::text)))) NOT VALID",
      false,
    ],
  );
  assert.deepEqual(
    await database.query(
      `select obj_description(oid, 'pg_constraint') as comment from pg_constraint where conname = 'events_order_required'`,
    ),
    [{ comment: 'since 2026' }],
  );

  assert.equal(after.find(({ name }) => name === 'events_event_type_known')?.validated, true);

  // The trigger, too, leaves alone what has the list of types in it, and does without the column that was dropped.
  await database.query(`
    alter table public.events drop constraint events_order_required, add constraint events_order_required
      check (event_time < '2020-01-01Z' or order_id is not null or event_type <> 'purchase' and event_type <> 'refund') not valid`);
  const kept = await ruleOf(database, 'events_order_required');
  await database.query("insert into ecompipe.event_types (event_type, needs_product) values ('share', true)");
  assert.deepEqual(others(await rulesOf(database)), others(before));
  assert.deepEqual(await ruleOf(database, 'events_order_required'), kept);
});

test('rows that are there are read by migrate, once and beside writers, and not by the migration under its lock', async () => {
  const database = await databaseBefore(CHEAPER);
  await database.query(`${PAGE_VIEW} from generate_series(1, 1000)`);
  const client = await database.connect();
  const scans = async (): Promise<number> => {
    const { rows } = await client.query<{ scans: number }>(
      `select seq_scan::int as scans from pg_stat_xact_user_tables where relid = 'public.events'::regclass`,
    );
    return rows[0]!.scans;
  };
  await client.query('begin');
  await client.query(await cheaperRules());
  assert.equal(await scans(), 0);
  await client.query('commit');
  const pending = (await rulesOf(database)).filter(({ validated }) => !validated);
  assert.equal(pending.length, 8);
  await assert.rejects(database.query(PAGE_VIEW.replace('page_view', 'share')), { code: '23514' });

  await client.query('begin');
  await client.query(PAGE_VIEW);
  const read = await onDatabase(database, {}, (target) =>
    withConnection(target, 'cannot validate', (connection) =>
      withTransaction(connection, async () => {
        await validateConstraints(connection, silentLogger);
        const { rows } = await connection.client.query<{ scans: string }>(
          `select seq_scan as scans from pg_stat_xact_user_tables where relid = 'public.events'::regclass`,
        );
        return Number(rows[0]!.scans);
      }),
    ),
  );
  await client.query('commit');
  await client.end();
  assert.equal(read, 1);
  assert.ok((await rulesOf(database)).every(({ validated }) => validated));
});

test('partitions get the rules of their table, also one that was attached with rules of its own', async () => {
  const database = await databaseBefore(CHEAPER);
  await database.query(`
    alter table public.events rename to events_before;
    create table public.events (like public.events_before including defaults including constraints, primary key (event_id)) partition by range (event_id);
    create table public.events_low partition of public.events for values from (minvalue) to ('40000000-0000-0000-0000-000000000000') partition by range (event_id);
    create table public.events_lowest partition of public.events_low default;
    create table public.events_high (like public.events_before including defaults including constraints);
    alter table public.events attach partition public.events_high for values from ('40000000-0000-0000-0000-000000000000') to (maxvalue);
    drop table public.events_before`);
  const parts = ['events_low', 'events_lowest', 'events_high'];
  const assertSame = async (): Promise<void> => {
    const rules = await rulesOf(database);
    for (const part of parts) assert.deepEqual(await rulesOf(database, `public.${part}`), rules, part);
  };
  const before = await rulesOf(database);
  await migrate(database);
  await assertSame();
  assert.notDeepEqual(await rulesOf(database), before);
  assert.ok((await rulesOf(database)).every(({ validated }) => validated));
  await database.query("insert into ecompipe.event_types (event_type, needs_order) values ('share', true)");
  await assertSame();
  assert.match((await ruleOf(database, 'events_order_required'))!.condition, /'share'/);
});

test('a table that inherits its rules from another one keeps them', async () => {
  const database = await databaseBefore(CHEAPER);
  await database.query(`
    create table public.all_events (device text, constraint events_device_known check (device in ('mobile', 'desktop', 'tablet')));
    alter table public.events inherit public.all_events`);
  const before = await ruleOf(database, 'events_device_known');
  await migrate(database);
  assert.deepEqual(await ruleOf(database, 'events_device_known'), before);
});

const STRANGE = [
  "it's",
  'back\\slash',
  'a,b',
  '{braces}',
  '"quoted"',
  ' blank ',
  '%s %L %I',
  "') or true or ('",
  'größe',
  '页面',
  'NULL',
];

test('types may have any name, and only rules whose types change are made anew', async () => {
  const database = await migratedDatabase();
  const oids = async (): Promise<Record<string, number>> =>
    Object.fromEntries(
      (
        await database.query<{ name: string; oid: number }>(
          `select conname as name, oid::int from pg_constraint where conrelid = 'public.events'::regclass and contype = 'c'`,
        )
      ).map(({ name, oid }) => [name, oid]),
    );
  const accepts = async (type: string, order: string | null = null): Promise<boolean> => {
    try {
      await database.query(
        `insert into public.events (event_id, event_type, event_time, user_id, session_id, order_id) values (gen_random_uuid(), $1, now(), 'u', 's', $2)`,
        [type, order],
      );
      return true;
    } catch (error) {
      if (sqlStateOf(error) !== '23514') throw error;
      return false;
    }
  };
  for (const type of STRANGE) {
    assert.equal(await accepts(type), false, type);
    await database.query('insert into ecompipe.event_types (event_type, needs_order) values ($1, true)', [type]);
    assert.deepEqual([await accepts(type), await accepts(type, 'o')], [false, true], type);
  }
  assert.equal(await accepts('no_such_type'), false);

  // The lists are long and short by now; neither is made anew without need.
  await database.query(`delete from ecompipe.event_types where event_type = any ($1)`, [STRANGE.slice(3)]);
  for (const type of STRANGE.slice(0, 3)) assert.equal(await accepts(type, 'o'), true, type);
  const before = await oids();
  await database.query('update ecompipe.event_types set needs_order = needs_order');
  assert.deepEqual(await oids(), before);
  await database.query("insert into ecompipe.event_types (event_type) values ('share')");
  const changed = Object.entries(await oids()).filter(([name, oid]) => before[name] !== oid);
  assert.deepEqual(
    changed.map(([name]) => name),
    ['events_event_type_known'],
  );
});

test('a long list of types is an array, and without types nothing is allowed and nothing required', async () => {
  const database = await migratedDatabase();
  await database.query(
    `insert into ecompipe.event_types (event_type, needs_search_term) select 'type_' || n, true from generate_series(1, 50) n`,
  );
  assert.match(
    (await ruleOf(database, 'events_event_type_known'))!.condition,
    /= ANY \('\{view_item,.*,type_50\}'::text\[\]/,
  );
  assert.match((await ruleOf(database, 'events_search_term_required'))!.condition, /<> ALL \('\{search,type_1,/);
  await database.query("update ecompipe.event_types set needs_search_term = event_type = 'type_7'");
  assert.equal(
    (await ruleOf(database, 'events_search_term_required'))?.condition,
    "((search_term IS NOT NULL) OR (event_type <> 'type_7'::text))",
  );
  await database.query("delete from ecompipe.event_types where event_type <> 'page_view'");
  await database.query(PAGE_VIEW);
  assert.deepEqual(
    (await rulesOf(database)).filter(({ name }) => name.endsWith('_required')),
    [],
  );
  await database.query('truncate ecompipe.event_types');
  await assert.rejects(database.query(PAGE_VIEW), { code: '23514', constraint: 'events_event_type_known' });
});
