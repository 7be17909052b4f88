import assert from 'node:assert/strict';
import test from 'node:test';
import { describeVerify } from '../../../src/pipeline/verify/index.js';
import { createPipeline } from './pipeline.js';

test('a loaded run is proved', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run();
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.runs, result.files, result.rows, result.rowsScanned, result.findings], [true, 1, 4, 2000, 2000, []]);
  assert.match(describeVerify(result), /^lost 0 · duplicated 0 · corrupted 0\n2000 rows of 4 files from 1 run; /);
});
