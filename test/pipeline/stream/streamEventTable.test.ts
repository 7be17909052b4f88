import assert from 'node:assert/strict';
import { test, mock } from 'node:test';
import { createStreamEvents } from '../../../src/pipeline/stream/streamEventTable.js';
import { recordEvents } from '../../../src/platform/stageEvents.js';
import { createLogger } from '../../../src/platform/log.js';

test('of many files with rejects a few are reported one by one, the others as a sum', (t) => {
  let nowMs = 0;
  mock.method(performance, 'now', () => nowMs);
  t.after(() => mock.restoreAll());
  const lines: { level: string; event: string; rows?: number; files?: number }[] = [];
  const log = recordEvents(
    createStreamEvents(),
    createLogger({ level: 'debug', format: 'json', color: false }, (line) =>
      lines.push(JSON.parse(line) as (typeof lines)[number]),
    ),
  );
  for (let file = 0; file < 100; file++) log({ type: 'rowsRejected', file: `${file}.csv`, batchId: 1, rejected: 2 });
  const warned = (): string[] => lines.filter(({ level }) => level === 'warn').map(({ event }) => event);
  assert.equal(warned().length, 5);
  assert.equal(lines.length, 100);
  nowMs = 10_000;
  log({ type: 'rowsRejected', file: 'late.csv', batchId: 2, rejected: 1 });
  assert.deepEqual(warned().slice(5), ['more_rows_rejected', 'rows_rejected']);
  const { rows, files } = lines.find(({ event }) => event === 'more_rows_rejected')!;
  assert.deepEqual([rows, files], [190, 95]);
});
