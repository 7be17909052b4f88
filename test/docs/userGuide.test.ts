import assert from 'node:assert/strict';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventRow, HEADER } from '../helpers/events.js';
import { migratedDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { applyBlock, guideBlocks, ROOT, type Block } from './guide.js';
import { emptyDatabase, end, FROM_SOURCES, scratch, shell } from './shell.js';

async function one<Row extends Record<string, unknown>>(database: TestDatabase, sql: string): Promise<Row> {
  const [row] = await database.query<Row>(sql);
  assert.ok(row);
  return row;
}

test('the commands and queries of the guide do what it says, from top to bottom', async (t) => {
  const database = await emptyDatabase(t);
  const run = shell(scratch(t), FROM_SOURCES, database);
  for (const { language, file, norun, text, place } of guideBlocks()) {
    if (norun !== undefined || file !== undefined) continue;
    await t.test(`${place}: ${text.split('\n')[0] ?? ''}`, async () => {
      if (language === 'sh') await run(text);
      if (language === 'sql') assert.notEqual((await database.query(text)).length, 0, 'the query finds nothing');
    });
  }

  await t.test('every view for analysts is in it', async () => {
    const views = await database.query<{ name: string }>(
      "select table_name as name from information_schema.views where table_schema = 'analytics' and table_name <> 'session_places'",
    );
    const queries = guideBlocks()
      .filter(({ language }) => language === 'sql')
      .map(({ text }) => text)
      .join('');
    assert.deepEqual(
      views.map(({ name }) => name).filter((name) => !queries.includes(`analytics.${name}`)),
      [],
    );
  });
});

test('the recipes of the guide add an event type, a column and a profile', async (t) => {
  const sources = scratch(t);
  for (const name of ['src', 'sql', 'feeds', 'bin', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
    cpSync(path.join(ROOT, name), path.join(sources, name), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(sources, 'node_modules'));
  const recipes = guideBlocks().filter((block): block is Block & { file: string } => block.file !== undefined);
  for (const block of recipes) applyBlock(sources, block);
  await end(process.execPath, [path.join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: sources,
  });

  const directory = scratch(t);
  const database = await emptyDatabase(t);
  const run = shell(directory, [process.execPath, path.join(sources, 'bin/ecompipe.js')], database);

  await t.test('what the new version generates it loads and verifies', async () => {
    await run(`
      ecompipe generate --interval 0 --events 5000 --batch-size 1000 --seed 3 --start 2026-11-01 --profile outlet
      ecompipe generate --interval 0 --events 5000 --batch-size 250 --seed 4 --start 2026-11-01 --dirt dirty
      cp -r data/incoming data/new
      ecompipe move --once
      ecompipe migrate
      ecompipe stream --once
      ecompipe verify`);
    const types = await one<{ shares: number; products: number }>(
      database,
      "select count(*)::int as shares, count(product_id)::int as products from events where event_type = 'share'",
    );
    assert.ok(types.shares > 10);
    assert.equal(types.products, types.shares);
    const languages = await one<{ rows: number; filled: number; german: number }>(
      database,
      "select count(*)::int as rows, count(language)::int as filled, count(*) filter (where language = 'de' and country in ('DE', 'AT', 'CH'))::int as german from events",
    );
    assert.ok(languages.german > 1000);
    assert.ok(languages.filled > 0.98 * languages.rows, 'all but the files whose fault is a missing column');
    const profile = await one<{ sales: number; coupons: number }>(
      database,
      "select count(*)::int as sales, count(coupon)::int as coupons from events where event_type = 'purchase' and currency = 'CHF'",
    );
    assert.ok(profile.sales > 10 && profile.coupons > 0.1 * profile.sales);
  });

  await t.test('it rejects what breaks the rules of the new type and column', async () => {
    writeFileSync(
      path.join(directory, 'data/processing/rules.csv'),
      `${HEADER},language\n${eventRow(1, { event_type: 'share', product_id: '' })},de\n${eventRow(2)},German\n${eventRow(3)},de\n`,
    );
    await run('ecompipe stream --once');
    const rejected = await database.query<{ line: number; rule: string }>(
      "select line::int, constraint_name as rule from ecompipe.rejected_rows join ecompipe.files using (file_id) where name = 'rules.csv' order by line",
    );
    assert.deepEqual(rejected, [
      { line: 2, rule: 'events_product_required' },
      { line: 3, rule: 'events_language_code' },
    ]);
  });

  await t.test(
    'the old version refuses rows of the type, files with the column, the profile and the newer schema',
    async () => {
      const old = await migratedDatabase();
      t.after(() => old.drop());
      mkdirSync(path.join(directory, 'old'));
      writeFileSync(
        path.join(directory, 'old/share.csv'),
        `${HEADER}\n${eventRow(1, { event_type: 'share' })}\n${eventRow(2)}\n`,
      );
      await shell(
        directory,
        FROM_SOURCES,
        old,
      )(
        'cp $(ls data/new/*.csv | head -1) old/language.csv; ecompipe stream --once --input-dir old --checkpoint old/checkpoint',
      );
      const files = await old.query<{ name: string; rules: string[]; reason: string | null; rows: number }>(
        'select name, rows_inserted::int as rows, reason, array(select constraint_name from ecompipe.rejected_rows r where r.file_id = f.file_id) as rules from ecompipe.files f order by name',
      );
      assert.deepEqual(files, [
        { name: 'language.csv', rows: 0, reason: 'unknown column: "language"', rules: [] },
        { name: 'share.csv', rows: 1, reason: null, rules: ['events_event_type_known'] },
      ]);
      const newer = shell(directory, FROM_SOURCES, database);
      await assert.rejects(newer('ecompipe stream --once'), { code: 6 });
      await assert.rejects(newer('ecompipe generate --profile outlet --batches 1'), { code: 2 });
    },
  );
});
