import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import type { VerifyResult } from '../../src/pipeline/verify/verifyEvents.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

function verify(
  { home, database }: Pipeline,
  ...flags: readonly string[]
): { status: number | null; stdout: string; stderr: string } {
  const places = {
    INCOMING_PATH: path.join(home, 'incoming'),
    PROCESSING_PATH: path.join(home, 'processing'),
    ARCHIVE_PATH: path.join(home, 'archive'),
    QUARANTINE_PATH: path.join(home, 'quarantine'),
  };
  return spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), CLI, 'verify', ...flags], {
    cwd: home,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...database.env, ...places },
  });
}

test('verify finds the manifest in incoming/, exits 0 when all is well, 7 when something is off or pending, 2 without a manifest', async (t) => {
  const pipeline = await createPipeline(t);
  assert.equal(verify(pipeline, '--manifest', pipeline.processing).status, 2);
  await pipeline.generate();
  assert.equal(verify(pipeline).status, 7);
  assert.equal(verify(pipeline, '--allow-pending').status, 0);
  await pipeline.move();
  await pipeline.stream();
  const good = verify(pipeline);
  assert.deepEqual([good.status, good.stdout.split('\n')[0]], [0, 'lost 0 · duplicated 0 · corrupted 0']);
  const [deleted] = await pipeline.database.query<{ id: string }>(
    'delete from events where event_id = (select event_id from events limit 1) returning event_id as id',
  );
  const bad = verify(pipeline);
  assert.equal(bad.status, 7);
  assert.match(
    bad.stdout,
    new RegExp(
      `^lost 1 · duplicated 0 · corrupted 0\\n[^]*lost, events-.*csv:\\d+, event ${deleted!.id}: not in the table`,
    ),
  );
  const json = JSON.parse(verify(pipeline, '--json').stdout) as VerifyResult;
  assert.deepEqual([json.ok, json.counts.lost, json.findings[0]!.eventId], [false, 1, deleted!.id]);
});
