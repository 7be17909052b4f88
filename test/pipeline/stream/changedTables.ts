import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { versionFromEnvironment, type TestDatabase } from '../../helpers/postgres.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger } from './tables.js';

/** A row that no table takes, so that its batch is staged. */
const POISON = 'poison';

/** What an owner did to a table, or a table of an owner's own, and rows of which the table takes some. */
export interface Change {
  readonly sql: readonly string[];
  /** Default: that of events. */
  readonly table?: string;
  /** Default: all columns of events. */
  readonly header?: string;
  readonly rows: readonly string[];
  /** How many of the rows the table takes. */
  readonly accepted: number;
  /** Rows that are in the table, or in one that inherits from it, before any file comes. */
  readonly present?: number;
  /** Before it PostgreSQL does not have this. */
  readonly sinceVersion?: 18;
  /** Fails where the server was built or installed without it. */
  readonly needs?: string;
}

async function changed({ sql }: Change): Promise<TestDatabase> {
  const database = await migratedDatabase();
  for (const statement of sql) await database.query(statement);
  return database;
}

/** Whether this server has what a change is about: feature_not_supported says that it does not. */
async function isSupported({ needs }: Change): Promise<boolean> {
  if (needs === undefined) return true;
  const database = await migratedDatabase();
  try {
    await database.query(needs);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === '0A000') return false;
    throw error;
  } finally {
    await database.drop();
  }
}

/** All that is in the table, but for what differs from load to load. */
async function contentOf(database: TestDatabase, { table = 'public.events' }: Change): Promise<unknown[]> {
  return await database.query(
    `select ((to_jsonb(row_of_table) - 'ingested_at') - 'batch_id')::text as row from ${table} as row_of_table order by 1`,
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

/** For each of the changes: the same rows must be in the table whether a bad row is beside them, come again, or come twice in another file. */
export function testChanges(changes: Readonly<Record<string, Change>>): void {
  for (const [what, change] of Object.entries(changes)) {
    const isThere = change.sinceVersion === undefined || versionFromEnvironment() === '18';
    test(
      `${what}: the same is in the table with a bad neighbour as without, and nothing twice`,
      { skip: !isThere },
      async (t) => {
        if (!(await isSupported(change))) {
          t.skip('this server has none');
          return;
        }
        const { rows, accepted, table, present = 0 } = change;
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
        assert.equal((await contentOf(clean, change)).length, accepted + present);
        assert.deepEqual(await contentOf(dirty, change), await contentOf(clean, change));
        assert.deepEqual(await rejectsOf(dirty), await rejectsOf(clean));
        // The same file once more, under another name: nothing happens.
        put(alone, 'again.csv', change, rows);
        put(poisoned, 'again.csv', change, [POISON, ...rows]);
        for (const again of [await load(alone, clean), await load(poisoned, dirty)]) assert.equal(again.rows.read, 0);
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
}
