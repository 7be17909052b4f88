import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { generated, rowsOf } from './run.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('the same seed and flags make the same files, names and manifests', async (t) => {
  const first = await generated(t, { events: 5000, batchSize: 700 });
  const second = await generated(t, { events: 5000, batchSize: 700 });
  assert.deepEqual(second.names, first.names);
  assert.deepEqual(second.contents, first.contents);
  assert.deepEqual(second.manifest.slice(1), first.manifest.slice(1));
});

test('how events are cut into files changes none of them', async (t) => {
  const whole = await generated(t, { events: 5000, batchSize: 5000 });
  const cut = await generated(t, { events: 5000, batchSize: 37 });
  assert.equal(rowsOf(cut), rowsOf(whole));
});

test('another seed makes other events', async (t) => {
  const one = await generated(t, { events: 100, batchSize: 100, seed: 1 });
  const two = await generated(t, { events: 100, batchSize: 100, seed: 2 });
  assert.notEqual(rowsOf(one), rowsOf(two));
});

test('without a seed one is drawn and reported, and makes the same events again', async (t) => {
  const drawn = await generated(t, { events: 300, batchSize: 100, seed: undefined });
  const again = await generated(t, { events: 300, batchSize: 100, seed: drawn.result.seed });
  assert.deepEqual(again.names, drawn.names);
  assert.equal(sha256(rowsOf(again)), sha256(rowsOf(drawn)));
});
