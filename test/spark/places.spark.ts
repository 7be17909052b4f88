import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventRow, HEADER } from '../helpers/events.js';
import { EXECUTABLE } from '../helpers/executable.js';
import { assertLedger, eventIds } from '../pipeline/stream/tables.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { runSpark, sparkEnv } from './harness.js';
import { dayOf } from '../../src/platform/files/dayFolders.js';
import { pathIn } from '../helpers/dayFolders.js';

test("directories named by URI are read and disposed of through Hadoop's file systems", async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ events: 300, batchSize: 100 });
  await pipeline.move();
  writeFileSync(path.join(pipeline.processing, 'unknown column.csv'), `${HEADER},colour\n`);
  const archive = path.join(pipeline.archive, dayOf(new Date()));
  mkdirSync(archive, { recursive: true });
  const [taken = ''] = readdirSync(pipeline.processing);
  writeFileSync(path.join(archive, taken), 'the name is taken');
  const env = {
    PROCESSING_PATH: `file://${pipeline.processing}`,
    ARCHIVE_PATH: `file://${pipeline.archive}`,
    QUARANTINE_PATH: `file://${pipeline.home}/quarantine`,
  };
  const { exitCode, stderr } = await runSpark(t, pipeline, { env });
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual(
    readdirSync(pipeline.processing).filter((name) => name.endsWith('.csv')),
    [],
  );
  assert.equal(readFileSync(path.join(archive, taken), 'utf8'), 'the name is taken');
  assert.equal(readdirSync(archive).filter((name) => name.endsWith('.csv')).length, 4);
  const note = JSON.parse(
    readFileSync(pathIn(path.join(pipeline.home, 'quarantine'), 'unknown column.csv.reason.json'), 'utf8'),
  ) as { reason: string };
  assert.equal(note.reason, 'unknown column: "colour"');
  await assertLedger(pipeline.database);
  assert.equal((await eventIds(pipeline.database)).length, 300);
});

test('the command lines of docs/scaling.md do what they say', async (t) => {
  const pipeline = await createPipeline(t);
  const guide = readFileSync(new URL('../../docs/scaling.md', import.meta.url), 'utf8');
  const [install = '', prepare = '', load = ''] = [...guide.matchAll(/^```sh.*\n([\s\S]*?)^```$/gm)].map(
    ([, text]) => text ?? '',
  );
  assert.match(install, /pip install "pyspark==4\.1\.\*"/);
  writeFileSync(path.join(pipeline.processing, 'a.csv'), `${HEADER}\n${eventRow(1)}\n`);
  const bin = path.join(pipeline.home, 'bin');
  mkdirSync(bin);
  writeFileSync(path.join(bin, 'ecompipe'), `#!/bin/sh\nexec '${process.execPath}' '${EXECUTABLE}' "$@"\n`);
  chmodSync(path.join(bin, 'ecompipe'), 0o755);
  const { status, stdout, stderr } = spawnSync('sh', ['-ec', prepare + load], {
    cwd: pipeline.home,
    env: {
      ...pipeline.database.env,
      ...sparkEnv(pipeline.home),
      HOME: pipeline.home,
      PATH: `${bin}:${process.env['PATH']}`,
      PROCESSING_PATH: pipeline.processing,
    },
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /loaded 1 row from 1 file/);
});
