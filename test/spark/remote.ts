import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { HEADER } from '../helpers/events.js';
import { assertLedger, eventIds } from '../pipeline/stream/tables.js';
import type { Pipeline } from '../pipeline/verify/pipeline.js';

export const ROWS = 300;

/** Fills processing/: three files, one of them compressed, a second copy of one, and one that can't be read. */
export async function makeFiles(pipeline: Pipeline): Promise<void> {
  const { processing } = pipeline;
  await pipeline.generate({ events: ROWS, batchSize: ROWS / 3 });
  await pipeline.move();
  const [first = '', second = ''] = readdirSync(processing)
    .filter((name) => name.endsWith('.csv'))
    .sort();
  writeFileSync(path.join(processing, `${first}.gz`), gzipSync(readFileSync(path.join(processing, first))));
  rmSync(path.join(processing, first));
  writeFileSync(path.join(processing, 'zz again.csv'), readFileSync(path.join(processing, second)));
  writeFileSync(path.join(processing, 'unknown column.csv'), `${HEADER},colour\n`);
}

/** @param left what is below the directory now, as paths from there */
export async function assertLoaded(pipeline: Pipeline, left: readonly string[]): Promise<void> {
  await assertLedger(pipeline.database);
  assert.equal((await eventIds(pipeline.database)).length, ROWS);
  const below = (folder: string): string[] => left.filter((name) => name.startsWith(`${folder}/`) && /csv/.test(name));
  assert.deepEqual(below('in'), []);
  assert.equal(below('archive').length, 4, left.join('\n'));
  assert.deepEqual(
    below('quarantine')
      .map((name) => path.posix.basename(name))
      .sort(),
    ['unknown column.csv', 'unknown column.csv.reason.json'],
  );
  const [again] = await pipeline.database.query<{ name: string }>('select name from ecompipe.redeliveries');
  assert.equal(again?.name, 'zz again.csv');
}
