import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Feed } from '../../src/contract/feeds/feed.js';
import { parseFeed } from '../../src/contract/feeds/parseFeed.js';
import { remakeRows } from '../../src/pipeline/stream/feeds/remakeRows.js';
import type { UndoResult } from '../../src/pipeline/undo/types.js';
import { runUndo } from '../../src/pipeline/undo/runUndo.js';
import { proveLedger } from '../../src/pipeline/verify/ledgerProof.js';
import { migratedDatabase, onDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { load, openShop, type Shop } from '../pipeline/stream/harness.js';

export function feedOf(text: string, name = 'orders'): Feed {
  const { feed, problems } = parseFeed(name, `feeds/${name}.yaml`, text);
  assert.ok(feed, problems?.join('; '));
  return feed;
}

export interface Scene {
  readonly database: TestDatabase;
  readonly shop: Shop;
}

export async function setScene(
  t: TestContext,
  feeds: readonly Feed[],
  files: Record<string, string | Buffer>,
): Promise<Scene> {
  const database = await migratedDatabase();
  t.after(() => database.drop());
  const shop = openShop(t, { feeds, maxRejected: 'none' });
  for (const [name, content] of Object.entries(files)) shop.put(name, content);
  return { database, shop };
}

/** All events but when and by which batch they came. */
export async function rowsOf(database: TestDatabase): Promise<unknown[]> {
  return await database.query(
    `select (to_jsonb(e) - 'ingested_at' - 'batch_id')::text as row from public.events e order by 1`,
  );
}

/** What a load of the corrected files would have made, with the same feeds and names. */
export async function rowsWithoutFault(
  t: TestContext,
  feeds: readonly Feed[],
  files: Record<string, string | Buffer>,
): Promise<unknown[]> {
  const { database, shop } = await setScene(t, feeds, files);
  const { rows } = await load(shop, database);
  assert.equal(rows.rejected, 0);
  return await rowsOf(database);
}

export async function assertProved(database: TestDatabase): Promise<void> {
  const proof = await onDatabase(database, {}, (target) => proveLedger(target));
  assert.deepEqual([proof.ok, proof.findings], [true, []]);
}

export const archiveOf = ({ settings }: Shop): string[] => [settings.archiveDir, settings.quarantineDir];

export async function undo(
  { database, shop }: Scene,
  what: { readonly file?: string; readonly batchId?: number | undefined },
): Promise<UndoResult> {
  const { archiveDir, inputDir } = shop.settings;
  const settings = { loadedDirs: [archiveDir], waitingDirs: [inputDir], file: what.file, batchId: what.batchId };
  return await onDatabase(database, {}, (target) => runUndo({ ...settings, dryRun: false }, target, remakeRows));
}

export const LINES = feedOf(`match: "*.jsonl"
format: { type: jsonl }
rows: "jsonb_array_elements(record -> 'items') as item"
columns:
  event_id: { derive: [{ sql: "record ->> 'visit'" }, { sql: "item ->> 'sku'" }], repeats: distinct }
  event_type: { value: view_item }
  event_time: { sql: "(item ->> 'at')::timestamptz" }
  user_id: { sql: "record ->> 'visit'" }
  session_id: { sql: "record ->> 'visit'" }
  product_id: { sql: "item ->> 'sku'" }
`);

export const item = (sku: string, at = '2026-11-21T10:00:00Z'): { sku: string; at: string } => ({ sku, at });
export const lines = (...records: unknown[]): string =>
  records.map((record) => (typeof record === 'string' ? record : JSON.stringify(record))).join('\n') + '\n';

export const STOCK = feedOf(
  `match: "*.csv"
table: public.stock
format: { delimiter: ";" }
columns: { shop: Filiale, sku: { sql: "upper(Artikel)" }, units: Bestand }
`,
  'stock',
);
export const STOCK_TABLE = `create table public.stock (shop text, sku text, units integer not null check (units >= 0), batch_id bigint
  default nullif(current_setting('ecompipe.batch_id', true), '')::bigint, primary key (shop, sku))`;
