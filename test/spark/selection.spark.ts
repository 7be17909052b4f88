import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readFeeds } from '../../src/contract/feeds/readFeeds.js';
import { eventFile, HEADER } from '../helpers/events.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';
import { assertSameTables, runSpark } from './harness.js';

/** For files of one folder only, and for their paths. */
const FEED = `match: "shop1/**/*.txt"
format: { type: lines }
columns:
  event_id: { derive: [line, file_path] }
  event_type: { value: view_item }
  event_time: { value: "2026-11-22T13:00:00Z" }
  user_id: line
  session_id: line
  product_id: file_name
  product_name: file_path
`;

const ODD = 'shop 2/it\'s "ö"\n/orders;1.csv';

const FILES: Readonly<Record<string, string>> = {
  'a.csv': eventFile(0, 2),
  'shop1/2026/a.csv': eventFile(2, 4),
  'shop1/2026/lines.txt': 'u1\nu2\n',
  'shop1/bad.csv': `${HEADER},colour\n`,
  'shop1/upload.csv.part': eventFile(90, 91),
  [ODD]: eventFile(4, 6),
  'shop3/lines.txt': 'u3\n',
  'other/b.csv': eventFile(92, 93),
  'shop1/skipped/a.csv': eventFile(94, 95),
  '.hidden/a.csv': eventFile(96, 97),
  // The archive lies in the directory that is loaded.
  'archive/2026-01-01/shop1/old.csv': eventFile(98, 99),
};

const INCLUDE = ['a.csv', 'shop*/**', 'archive/**'];
const EXCLUDE = ['skipped'];

/** Relative names of all files below a directory, without the folder of the day. */
function namesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.crc'))
    .map(({ parentPath, name }) => path.relative(directory, path.join(parentPath, name)))
    .map((name) => name.replace(/\b\d{4}-\d\d-\d\d\//, ''))
    .sort();
}

function putFiles({ processing }: Pipeline): void {
  for (const [name, content] of Object.entries(FILES)) {
    mkdirSync(path.join(processing, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(processing, name), content);
  }
  symlinkSync('other', path.join(processing, 'shop4'));
  symlinkSync('..', path.join(processing, 'shop1/round'));
}

test('subdirectories and patterns choose the files that the native engine chooses, and archive/ keeps their names', async (t) => {
  const native = await createPipeline(t);
  putFiles(native);
  const feedsDir = path.join(native.home, 'feeds');
  mkdirSync(feedsDir);
  writeFileSync(path.join(feedsDir, 'lines.yaml'), FEED);
  const trees: Pipeline[] = [];
  for (const scheme of ['', 'file://']) {
    const spark = await createPipeline(t);
    cpSync(native.processing, spark.processing, { recursive: true, verbatimSymlinks: true });
    trees.push(spark);
    const { exitCode, stderr } = await runSpark(t, spark, {
      args: [
        '--once',
        '--connections',
        '1',
        '--feeds',
        feedsDir,
        '--recursive',
        '--include',
        INCLUDE.join(','),
        '--exclude',
        EXCLUDE.join(','),
      ],
      env: {
        PROCESSING_PATH: `${scheme}${spark.processing}`,
        ARCHIVE_PATH: `${scheme}${path.join(spark.processing, 'archive')}`,
        QUARANTINE_PATH: `${scheme}${path.join(spark.home, 'quarantine')}`,
      },
    });
    assert.equal(exitCode, 0, stderr);
  }
  const { filesLoaded, filesQuarantined } = await native.stream({
    feeds: await readFeeds({ feedsDir, shipped: [] }),
    recursive: true,
    include: INCLUDE,
    exclude: EXCLUDE,
    archiveDir: path.join(native.processing, 'archive'),
  });
  assert.deepEqual([filesLoaded, filesQuarantined], [4, 1]);
  for (const spark of trees) {
    await assertSameTables(spark.database, native.database);
    for (const directory of ['processing', 'quarantine'])
      assert.deepEqual(namesBelow(path.join(spark.home, directory)), namesBelow(path.join(native.home, directory)));
  }
});
