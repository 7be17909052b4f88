import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { contents } from '../../platform/files/directories.js';
import { eventFile, eventId, HEADER } from '../../helpers/events.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';
import { namesIn, pathIn } from '../../helpers/dayFolders.js';
import type { StreamEvent } from '../../../src/pipeline/stream/streamEvents.js';
import { temporaryPath } from '../../../src/platform/files/temporary.js';

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => eventId(from + n));
const left = ({ settings }: Shop): string[] => readdirSync(settings.inputDir);
const archived = ({ settings }: Shop): string[] => namesIn(settings.archiveDir);

for (const batchBytes of [8 * 2 ** 20, 1024]) {
  const how = batchBytes === 1024 ? 'in ranges' : 'whole';

  test(`a .csv.gz is loaded ${how} like what it holds`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    shop.put('a.csv.gz', gzipSync(eventFile(0, 100)));
    shop.put(
      'two-members.csv.gz',
      Buffer.concat([gzipSync(eventFile(100, 120)), gzipSync(eventFile(120, 140).slice(HEADER.length + 1))]),
    );
    await load(shop, database);
    assert.deepEqual(await eventIds(database), ids(0, 140));
    assert.deepEqual(archived(shop), ['a.csv.gz', 'two-members.csv.gz']);
    await assertLedger(database);
  });

  test(`a file that no row of can be read goes to quarantine ${how} with its reason, and the others are loaded`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    const unreadable: Record<string, string | Buffer> = {
      'utf16.csv': Buffer.from(`\ufeff${eventFile(0, 20)}`, 'utf16le'),
      'unknown.csv': eventFile(0, 20).replace('coupon', 'voucher'),
      'missing.csv': eventFile(0, 20).replace('session_id,', ''),
      'twice.csv': eventFile(0, 20).replace('coupon', 'brand'),
      'semicolons.csv': eventFile(0, 20).replaceAll(',', ';'),
      'cut.csv.gz': gzipSync(eventFile(0, 200)).subarray(0, -20),
      'zeros-between-members.csv.gz': Buffer.concat([
        gzipSync(eventFile(0, 200)),
        Buffer.alloc(512),
        gzipSync(eventFile(200, 220).slice(HEADER.length + 1)),
      ]),
      'damaged.csv.gz': Buffer.from(eventFile(0, 20)),
      'no-header.csv': eventFile(0, 20).slice(HEADER.length + 1),
    };
    for (const [name, content] of Object.entries(unreadable)) shop.put(name, content);
    shop.put('good.csv', eventFile(500, 520));
    await load(shop, database);
    assert.deepEqual(await eventIds(database), ids(500, 520));
    assert.deepEqual(
      namesIn(shop.settings.quarantineDir),
      Object.keys(unreadable)
        .flatMap((name) => [name, `${name}.reason.json`])
        .sort(),
    );
    for (const [name, content] of Object.entries(unreadable)) {
      assert.ok(
        readFileSync(pathIn(shop.settings.quarantineDir, name)).equals(Buffer.from(content as string)),
        `${name} is whole`,
      );
      const { reason } = JSON.parse(
        readFileSync(pathIn(shop.settings.quarantineDir, `${name}.reason.json`), 'utf8'),
      ) as { reason: string };
      assert.ok(reason.length > 10);
    }
    assert.deepEqual(left(shop), []);
    await assertLedger(database);
  });

  test(`a byte order mark, CRLF, another order of columns and no last line end are fine ${how}`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    shop.put('a.csv', `\ufeff${eventFile(0, 30).replaceAll('\n', '\r\n').slice(0, -2)}`);
    const row = (n: number): string => `s${n},u${n},2026-11-22T00:00:00Z,page_view,${eventId(n)}`;
    shop.put(
      'b.csv',
      ['session_id,user_id,event_time,event_type,event_id', ...Array.from({ length: 40 }, (_, n) => row(100 + n))].join(
        '\n',
      ),
    );
    await load(shop, database);
    assert.deepEqual(await eventIds(database), [...ids(0, 30), ...ids(100, 140)]);
    assert.deepEqual(await database.query('select distinct load_path from ecompipe.batches'), [
      { load_path: 'direct' },
    ]);
    assert.deepEqual(
      await database.query('select session_id, user_id from public.events where event_id = $1', [eventId(105)]),
      [{ session_id: 's105', user_id: 'u105' }],
    );
    await assertLedger(database);
  });

  test(`the same content under another name is noted ${how} and not loaded, other content under the same name is`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    shop.put('a.csv', eventFile(0, 20));
    await load(shop, database);
    shop.put('b.csv', eventFile(0, 20));
    shop.put('a.csv', eventFile(20, 40));
    await load(shop, database);
    assert.deepEqual(await eventIds(database), ids(0, 40));
    assert.deepEqual(
      await database.query(
        'select name, (select name from ecompipe.files f where f.file_id = r.file_id) as first from ecompipe.redeliveries r',
      ),
      [{ name: 'b.csv', first: 'a.csv' }],
    );
    assert.deepEqual(archived(shop), ['a.1.csv', 'a.csv', 'b.csv']);
    assert.deepEqual(await database.query('select count(*)::int4 as files from ecompipe.files'), [{ files: 2 }]);
    await assertLedger(database);
  });

  test(`the same content under two names at once is loaded ${how} once`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    for (const name of ['a.csv', 'b.csv', 'c.csv']) shop.put(name, eventFile(0, 20));
    await load(shop, database);
    assert.deepEqual(await eventIds(database), ids(0, 20));
    assert.deepEqual(archived(shop), ['a.csv', 'b.csv', 'c.csv']);
    assert.deepEqual(await database.query('select count(*)::int4 as redeliveries from ecompipe.redeliveries'), [
      { redeliveries: 2 },
    ]);
    await assertLedger(database);
  });

  test(`a header-only file and an empty file are loaded ${how} with no rows`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    shop.put('header.csv', HEADER);
    shop.put('header-line.csv', `${HEADER}\n`);
    shop.put('empty.csv', '');
    shop.put('bom.csv', '\ufeff');
    shop.put('empty.csv.gz', gzipSync(''));
    await load(shop, database);
    assert.deepEqual(left(shop), []);
    assert.deepEqual(
      await database.query(
        'select count(*)::int4 as files, sum(rows_read)::int4 as rows from ecompipe.files where state = $1',
        ['loaded'],
      ),
      [{ files: 5, rows: 0 }],
    );
    await assertLedger(database);
  });

  test(`--after-load delete removes, keep leaves the file, and neither loads it again ${how}`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes });
    shop.put('a.csv', eventFile(0, 20));
    await load(shop, database, { afterLoad: 'keep' });
    await load(shop, database, { afterLoad: 'keep' });
    assert.deepEqual(left(shop), ['a.csv']);
    await load(shop, database, { afterLoad: 'delete' });
    assert.deepEqual([left(shop), archived(shop)], [[], []]);
    assert.deepEqual(await eventIds(database), ids(0, 20));
    assert.deepEqual(await database.query('select count(*)::int4 as batches from ecompipe.redeliveries'), [
      { batches: 0 },
    ]);
    await assertLedger(database);
  });

  for (const afterLoad of ['archive', 'delete'] as const) {
    test(`a file that takes the name of one being loaded ${how} is not disposed of unread by ${afterLoad}`, async (t) => {
      const database = await migratedDatabase();
      const shop = openShop(t, { batchBytes, afterLoad });
      shop.put('a.csv', eventFile(0, 40));
      writeFileSync(path.join(shop.home, 'next.csv'), eventFile(40, 80));
      let isReplaced = false;
      const onEvent = ({ type }: { type: string }): void => {
        if (type !== 'batchCommitted' || isReplaced) return;
        isReplaced = true;
        renameSync(path.join(shop.home, 'next.csv'), path.join(shop.settings.inputDir, 'a.csv'));
      };
      await load(shop, database, {}, { onEvent });
      assert.deepEqual(await eventIds(database), ids(0, 80));
      assert.deepEqual(left(shop), []);
      await assertLedger(database);
    });
  }
}

test('a file in quarantine has its reason beside it however long its name is', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const names = ['a', 'ä', '𝄞'].flatMap((letter) =>
    [240, 243, 251].map((bytes) => {
      const letters = Math.floor(bytes / Buffer.byteLength(letter));
      return `${letter.repeat(letters)}.csv`.padStart(Math.min(255, letters + 4), 'x');
    }),
  );
  for (const name of names) shop.put(name, `nonsense,of ${name}\n`);
  await load(shop, database);
  const found = namesIn(shop.settings.quarantineDir);
  assert.deepEqual(found.filter((name) => !name.endsWith('.json')).sort(), [...new Set(names)].sort());
  const reasons = found.filter((name) => name.endsWith('.reason.json'));
  const files = reasons.map((name) => {
    assert.ok(Buffer.byteLength(name) <= 255);
    const text = readFileSync(pathIn(shop.settings.quarantineDir, name), 'utf8');
    return (JSON.parse(text) as { file: string }).file;
  });
  assert.deepEqual(files.sort(), [...new Set(names)].sort());
});

test('what a killed process left in archive/ while it copied is removed at the next start', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const deadPid = spawnSync(process.execPath, ['--version']).pid;
  for (const day of ['2026-11-23', '2026-11-24']) {
    const folder = path.join(shop.settings.archiveDir, day);
    mkdirSync(folder, { recursive: true });
    const name = path.basename(temporaryPath(path.join(folder, 'a.csv')));
    writeFileSync(path.join(folder, name.replace(`.${process.pid}-`, `.${deadPid}-`)), 'half');
    writeFileSync(path.join(folder, `${day}.csv`), 'whole');
  }
  await load(shop, database);
  assert.deepEqual(namesIn(shop.settings.archiveDir), ['2026-11-23.csv', '2026-11-24.csv']);
});

test('archive/ that is taken away while a stream runs is made again', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  for (const number of [1, 2]) shop.put(`${number}.csv`, eventFile(number, number + 1));
  const onEvent = ({ type }: StreamEvent): void => {
    if (type === 'batchCommitted' || type === 'fileLoaded')
      rmSync(shop.settings.archiveDir, { recursive: true, force: true });
  };
  await load(shop, database, { connections: 1 }, { stop: AbortSignal.timeout(20_000), onEvent });
  assert.deepEqual(await eventIds(database), ids(1, 3));
  assert.deepEqual(left(shop), []);
});

test('a file that cannot be archived because archive/ became a file ends the run with exit code 74, and stays', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const file = shop.put('a.csv', eventFile(1, 2));
  let commits = 0;
  const onEvent = ({ type }: StreamEvent): void => {
    if (type !== 'batchCommitted') return;
    commits++;
    rmSync(shop.settings.archiveDir, { recursive: true });
    writeFileSync(shop.settings.archiveDir, '');
  };
  await assert.rejects(load(shop, database, {}, { stop: AbortSignal.timeout(20_000), onEvent }), { exitCode: 74 });
  assert.equal(commits, 1);
  assert.ok(existsSync(file));
});

test('links, FIFOs, directories, hidden and other names are left alone', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const elsewhere = path.join(shop.home, 'elsewhere.csv');
  writeFileSync(elsewhere, eventFile(0, 5));
  symlinkSync(elsewhere, path.join(shop.settings.inputDir, 'link.csv'));
  symlinkSync('/nonexistent', path.join(shop.settings.inputDir, 'dangling.csv'));
  spawnSync('mkfifo', [path.join(shop.settings.inputDir, 'fifo.csv')]);
  mkdirSync(path.join(shop.settings.inputDir, 'directory.csv'));
  shop.put('.hidden.csv', eventFile(5, 10));
  shop.put('a.csv.tmp', eventFile(10, 15));
  shop.put('a.CSV', eventFile(100, 105));
  const before = readdirSync(shop.settings.inputDir).filter((name) => name !== 'a.CSV');
  await load(shop, database);
  assert.deepEqual(await eventIds(database), ids(100, 105));
  assert.deepEqual(left(shop), before);
  assert.deepEqual(contents(shop.home)['elsewhere.csv'], eventFile(0, 5));
});

test('a load that was stopped goes on with other batch sizes and connections where the ledger stands', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t, { batchBytes: 1024 });
  const content = eventFile(0, 300).replace('u5,', ',').replace('u295,', ',');
  shop.put('a.csv', content);
  for (const [connections, batchBytes] of [
    [1, 1024],
    [3, 1500],
    [2, 4000],
    [1, 1 << 20],
  ] as const) {
    const stop = new AbortController();
    await load(
      shop,
      database,
      { connections, batchBytes },
      { stop: stop.signal, onEvent: ({ type }) => type === 'batchCommitted' && batchBytes < 1 << 20 && stop.abort() },
    );
    await assertLedger(database);
  }
  assert.deepEqual(
    await eventIds(database),
    ids(0, 300).filter((_, n) => n !== 5 && n !== 295),
  );
  assert.deepEqual(
    await database.query('select line::int4, byte_offset::int4 as offset from ecompipe.rejected_rows order by line'),
    [7, 297].map((line) => ({
      line,
      offset:
        content
          .split('\n')
          .slice(0, line - 1)
          .join('\n').length + 1,
    })),
  );
  assert.deepEqual(archived(shop), ['a.csv']);
});

test('files that fill more than half a batch are not read ahead either, while others load', async (t) => {
  const database = await migratedDatabase();
  const files = 40;
  const content = (file: number): string => eventFile(file * 20, file * 20 + 20);
  const shop = openShop(t, { connections: 2, batchBytes: Math.ceil(Buffer.byteLength(content(files - 1)) * 1.5) });
  for (let file = 0; file < files; file++) shop.put(`${String(file).padStart(2, '0')}.csv`, content(file));
  let isFirst = true;
  await load(
    shop,
    database,
    {},
    {
      onEvent: ({ type }) => {
        // What is in memory by now is still loaded; what was not read yet is gone.
        if (type === 'batchCommitted' && isFirst)
          for (const name of readdirSync(shop.settings.inputDir)) unlinkSync(path.join(shop.settings.inputDir, name));
        if (type === 'batchCommitted') isFirst = false;
      },
    },
  );
  const loaded = (await eventIds(database)).length / 20;
  assert.ok(
    loaded >= 1 && loaded <= 4,
    `${loaded} files: one a connection, one more that is ready, and one that did not fit`,
  );
});
