import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from '../../../src/pipeline/generate/eventSource.js';
import { planRun } from '../../../src/pipeline/generate/settings.js';
import type { Timeline } from '../../../src/pipeline/generate/timeline.js';

test('however long it runs, a short session does not keep the room of a long one before it', async () => {
  const plan = planRun({ outputDir: 'unused', rate: 20, seed: 1, start: '2026-11-22T13:00:00Z' }, Date.now());
  const source = await EventSource.create(plan);
  const { timeline } = source as unknown as { readonly timeline: Timeline };
  const row = new Uint8Array(65_536);
  let longest = 0;
  for (let event = 0; event < 300_000; event++) {
    source.writeNext(row, 0);
    const { length, timesMs } = timeline.visit;
    longest = Math.max(longest, length);
    assert.ok(timesMs.length <= Math.max(40, length), `room for ${timesMs.length} steps, ${length} are needed`);
  }
  assert.ok(longest > 150, 'there were long sessions');
});
