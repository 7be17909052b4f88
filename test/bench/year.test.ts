import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import type { QueryResultRow } from 'pg';
import { dayEnd, FILES_PER_BATCH, fillArchive, fillYear, planYear, ROWS_PER_FILE } from '../../bench/harness/year.js';
import { runPrune } from '../../src/pipeline/prune/runPrune.js';
import { readTotals } from '../../src/pipeline/status/ledger.js';
import { remakeRows } from '../../src/pipeline/stream/feeds/remakeRows.js';
import { runUndo } from '../../src/pipeline/undo/runUndo.js';
import { proveLedger } from '../../src/pipeline/verify/ledgerProof.js';
import { queryRows } from '../../src/platform/db/decodeRows.js';
import { withConnection } from '../../src/platform/db/target.js';
import { namesIn } from '../helpers/dayFolders.js';
import { eventFile } from '../helpers/events.js';
import { migratedDatabase, onDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { load, openShop } from '../pipeline/stream/harness.js';

const never = new AbortController().signal;

/** Rows that were read from the start of a table to its end, or by an index, as PostgreSQL counts them. */
interface RowsRead {
  readonly whole: number;
  readonly byIndex: number;
}

/** What sessions that ended meanwhile have read of a table. */
async function rowsRead(database: TestDatabase, table: string, action: () => Promise<unknown>): Promise<RowsRead> {
  const count = async (): Promise<RowsRead> => {
    // A session's counts are there before it leaves the list of sessions.
    await until('no session is left', async () => {
      const others = await database.query(
        `select from pg_stat_activity where datname = current_database() and application_name = 'ecompipe'`,
      );
      return others.length === 0;
    });
    const [row] = await database.query<RowsRead>(
      `select seq_tup_read::int4 as whole, idx_tup_fetch::int4 as "byIndex" from pg_stat_user_tables where relid = $1::regclass`,
      [table],
    );
    return row!;
  };
  const before = await count();
  await action();
  const after = await count();
  return { whole: after.whole - before.whole, byIndex: after.byIndex - before.byIndex };
}

test('after a year, a start and a prune read what they are about, an undo by name and status the files of the ledger once', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const { archiveDir, inputDir } = shop.settings;
  const year = planYear(1, new Date());
  const quiet = { step: () => undefined };
  const target = {
    query: <Row extends QueryResultRow>(sql: string, values: readonly unknown[] = []) =>
      database.query<Row>(sql, [...values]),
  };
  await fillYear(target, year, quiet);
  await fillArchive(target, year, archiveDir, quiet);
  assert.equal(namesIn(archiveDir).length, year.keptFiles);
  const proof = await onDatabase(database, {}, proveLedger);
  assert.equal(proof.ok, true, 'what is measured is a ledger as the loader leaves it');

  const files = 'ecompipe.file_entries';
  const content = eventFile(0, 10);
  shop.put('a.csv', content);
  shop.put('b.csv', eventFile(10, 20));
  const started = await rowsRead(database, files, () => load(shop, database));
  assert.equal(started.whole, 0);
  assert.ok(started.byIndex < 100, `${started.byIndex} rows`);

  const places = { loadedDirs: [archiveDir], waitingDirs: [inputDir], batchId: undefined, dryRun: false };
  const undo = (file: string): Promise<RowsRead> =>
    rowsRead(database, files, () => onDatabase(database, {}, (to) => runUndo({ file, ...places }, to, remakeRows)));
  const bySha256 = await undo(createHash('sha256').update(content).digest('hex'));
  assert.equal(bySha256.whole, 0);
  assert.ok(bySha256.byIndex < 100, `${bySha256.byIndex} rows`);
  assert.equal((await undo('b.csv')).whole, year.files + 1);

  const status = await rowsRead(database, files, () =>
    onDatabase(database, {}, (to) =>
      withConnection(to, 'cannot look', ({ client }) =>
        readTotals((shape, sql, values) => queryRows(client, shape, sql, [...(values ?? [])])),
      ),
    ),
  );
  assert.deepEqual(status, { whole: year.files, byIndex: 0 });

  const prune = async (table: string, day: number): Promise<RowsRead> =>
    await rowsRead(database, table, async () => {
      const settings = {
        before: dayEnd(year, day),
        events: true,
        archive: true,
        ledger: true,
        archiveDir,
        dryRun: false,
      };
      const { events, archive, ledger } = await onDatabase(database, {}, (to) => runPrune(settings, to, never));
      assert.deepEqual(
        [events?.rows, archive?.files, ledger?.files, ledger?.batches],
        [year.filesADay * ROWS_PER_FILE, year.filesADay, year.filesADay, year.filesADay / FILES_PER_BATCH],
      );
    });
  const prunedFiles = await prune(files, 0);
  assert.equal(prunedFiles.whole, 0);
  assert.ok(prunedFiles.byIndex < year.files / 4, `${prunedFiles.byIndex} rows`);
  const prunedEvents = await prune('public.events', 1);
  const all = (year.keptFiles - year.filesADay) * ROWS_PER_FILE;
  assert.ok(
    prunedEvents.whole + prunedEvents.byIndex < all / 2,
    `${prunedEvents.whole} rows, ${prunedEvents.byIndex} by index`,
  );
});
