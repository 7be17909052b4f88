import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { frameRecords } from '../../../src/contract/csv/frameRecords.js';
import { EVENT_COLUMNS } from '../../../src/contract/columns.js';
import { eventId, eventRow, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { randomBelow } from '../../helpers/random.js';
import { load, openShop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';

const ROWS = 24;
const FILES = 60;

interface DamagedFile {
  readonly bytes: Buffer;
  /** Ids of the rows that no damage has touched. */
  readonly untouched: readonly string[];
}

const TROUBLE = Buffer.from('",\n\r\\.\0\xff;x ', 'latin1');

/** Rows of which some have a byte inserted, deleted or replaced; or, with `cut`, a file that ends somewhere. */
function damage(index: number): DamagedFile {
  const below = randomBelow(index + 1);
  const lineEnd = below(2) === 0 ? '\n' : '\r\n';
  const rows = Array.from({ length: ROWS }, (_, n) =>
    Buffer.from(eventRow(n, n % 5 === 0 ? { product_name: '"two\nlines"' } : {}, index)),
  );
  const damaged = new Set(Array.from({ length: 1 + below(4) }, () => below(ROWS)));
  const bytes = Buffer.concat([
    Buffer.from(HEADER + lineEnd),
    ...rows.flatMap((row, n) => {
      if (!damaged.has(n)) return [row, Buffer.from(lineEnd)];
      const at = below(row.length);
      const trouble = Buffer.from([TROUBLE[below(TROUBLE.length)] ?? 0]);
      return [
        row.subarray(0, at),
        below(3) === 0 ? Buffer.alloc(0) : trouble,
        row.subarray(at + below(2)),
        Buffer.from(lineEnd),
      ];
    }),
  ]);
  return { bytes, untouched: rows.map((_, n) => eventId(n, index)).filter((_, n) => !damaged.has(n)) };
}

for (const [how, settings] of [
  ['in few transactions', {}],
  ['in ranges of 1 KiB', { batchBytes: 1024 }],
  ['file by file in one transaction each', { batchBytes: 1024, atomicFile: true }],
] as const) {
  test(
    `of damaged files, loaded ${how}, each row is in events or rejected, and none but the damaged ones is lost`,
    { timeout: 120_000 },
    async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t, settings);
      const files = Array.from({ length: FILES }, (_, index) => damage(index));
      for (const [index, { bytes }] of files.entries()) shop.put(`${index}.csv`, bytes);
      await load(shop, database);
      await assertLedger(database);
      const loaded = new Set(await eventIds(database));
      assert.deepEqual(
        files.flatMap(({ untouched }) => untouched).filter((id) => !loaded.has(id)),
        [],
      );
      const rejected = await database.query<{ sha256: Buffer; offset: number; line: number; raw: Buffer }>(
        'select sha256, byte_offset::int4 as offset, line::int4, raw from ecompipe.rejected_rows join ecompipe.files using (file_id)',
      );
      const read = await database.query<{ sha256: Buffer; rows: number }>(
        "select sha256, rows_read::int4 as rows from ecompipe.files where state = 'loaded'",
      );
      const byHash = new Map(files.map(({ bytes }) => [createHash('sha256').update(bytes).digest('hex'), bytes]));
      for (const { sha256, rows } of read) {
        const bytes = byHash.get(sha256.toString('hex')) ?? Buffer.alloc(0);
        assert.equal(
          rows,
          frameRecords(bytes.subarray(bytes.indexOf('\n') + 1), true, EVENT_COLUMNS.length).records.length,
        );
      }
      assert.equal(read.length, FILES);
      for (const { sha256, offset, line, raw } of rejected) {
        const bytes = byHash.get(sha256.toString('hex')) ?? Buffer.alloc(0);
        assert.ok(bytes.subarray(offset, offset + raw.length).equals(raw), 'the bytes stand where the reject says');
        assert.equal(line, 1 + bytes.subarray(0, offset).filter((byte) => byte === 0x0a).length);
      }
      assert.ok(rejected.length > FILES / 2);
    },
  );
}
