import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileLine } from '../../../src/contract/manifest/format.js';
import { runGenerate } from '../../../src/pipeline/generate/runGenerate.js';
import type { GenerateEvent } from '../../../src/pipeline/generate/generateEvents.js';
import { contextOf, FIXED, generated, readManifest, readOutput, temporaryDirectory } from './run.js';

test('a rate is never exceeded (that it is held is for bench/questions/generator.ts to say: a busy machine is late)', async (t) => {
  const { result } = await generated(t, { intervalSeconds: undefined, rate: 5000, batchSize: 50, events: 5000 });
  // The first file goes out at once, so that the schedule of 100 files spans 99 intervals.
  assert.ok(result.durationMs >= 985, `${result.durationMs} ms`);
});

test('times of a live run follow the schedule and never run ahead of it', async (t) => {
  const { manifest } = await generated(t, { intervalSeconds: 0.01, batchSize: 10, events: 200 });
  const start = Date.parse(FIXED.start);
  for (const { sequence, firstEventTime, lastEventTime } of manifest.filter(
    (line): line is FileLine => line.line === 'file',
  )) {
    assert.ok(Date.parse(firstEventTime!) >= start + (sequence - 1) * 10);
    assert.ok(Date.parse(lastEventTime!) < start + (sequence + 1) * 10);
  }
});

test('a live run without a start has its events in the interval that just ended', async (t) => {
  const before = Date.now();
  const { manifest } = await generated(t, { intervalSeconds: 0.2, batchSize: 20, batches: 2, start: undefined });
  const files = manifest.filter((line): line is FileLine => line.line === 'file');
  assert.ok(Date.parse(files[0]!.firstEventTime!) >= before - 200);
  assert.ok(Date.parse(files[1]!.lastEventTime!) <= Date.now());
});

test('a stop ends the run with the file that is being written, and the manifest in good order', async (t) => {
  const stop = new AbortController();
  const directory = temporaryDirectory(t);
  const events: GenerateEvent[] = [];
  const result = await runGenerate(
    { ...FIXED, outputDir: directory, intervalSeconds: 60, batchSize: 10 },
    contextOf({
      stop: stop.signal,
      emit: (event) => {
        if (events.push(event) && event.type === 'filePublished') stop.abort();
      },
    }),
  );
  assert.equal(result.files, 1);
  assert.deepEqual(readManifest(result.manifest).at(-1), { line: 'end', files: 1, events: 10, rows: 10 });
});

test('a stop in the middle of a large file cuts it short and publishes it', async (t) => {
  const stop = new AbortController();
  const directory = temporaryDirectory(t);
  const running = runGenerate(
    { ...FIXED, outputDir: directory, batchSize: 50_000_000 },
    contextOf({ stop: stop.signal, emit: () => setImmediate(() => stop.abort()) }),
  );
  const result = await running;
  const { names, contents } = readOutput(directory);
  assert.equal(names.length, 1);
  assert.equal(contents[0]!.split('\n').length - 2, result.events);
  assert.ok(contents[0]!.endsWith('\n'));
});

test('a drain is a stop; rows that were held back come in a last file', async (t) => {
  const drain = new AbortController();
  const directory = temporaryDirectory(t);
  let files = 0;
  const result = await runGenerate(
    { ...FIXED, outputDir: directory, batchSize: 1000, dirt: 'late-72h=0.1' },
    contextOf({
      drain: drain.signal,
      emit: (event) => {
        if (event.type === 'filePublished' && ++files === 2) drain.abort();
      },
    }),
  );
  assert.equal(result.files, 3);
  assert.equal(result.rows, result.events);
});

test('events and batches limit the run, whichever is reached first', async (t) => {
  assert.deepEqual(
    (({ files, events }) => [files, events])((await generated(t, { events: 25, batchSize: 10 })).result),
    [3, 25],
  );
  assert.deepEqual(
    (({ files, events }) => [files, events])((await generated(t, { batches: 2, events: 25, batchSize: 10 })).result),
    [2, 20],
  );
});
