import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { runGenerate } from '../../../src/pipeline/generate/runGenerate.js';
import { until } from '../../helpers/until.js';
import { contextOf, FIXED, readManifest, readOutput, temporaryDirectory } from './run.js';

const COMMAND = [
  '--import',
  import.meta.resolve('tsx'),
  fileURLToPath(new URL('../../../src/cli.ts', import.meta.url)),
  'generate',
];

test('wrong flags are all told, with exit 2, and nothing is written', (t) => {
  const cwd = temporaryDirectory(t);
  const { status, stderr } = spawnSync(
    process.execPath,
    [...COMMAND, '--rate', '0', '--start', 'tomorrow', '--dirt', 'mud=1', '--profile', 'shop', '--batches', '-1'],
    { cwd, encoding: 'utf8' },
  );
  assert.equal(status, 2, stderr);
  for (const flag of ['--rate', '--start', '--dirt', '--profile', '--batches']) assert.match(stderr, new RegExp(flag));
  assert.match(stderr, /redelivery, burst, conflict/);
  assert.deepEqual(readdirSync(cwd), []);
});

test('the result is one JSON document that tells the seed and where the manifest is', (t) => {
  const cwd = temporaryDirectory(t);
  const { status, stdout } = spawnSync(
    process.execPath,
    [...COMMAND, '--interval', '0', '--events', '120', '--batch-size', '50', '--output-dir', 'out', '--json'],
    { cwd, encoding: 'utf8' },
  );
  assert.equal(status, 0);
  const result = JSON.parse(stdout) as { events: number; files: number; seed: number; manifest: string };
  assert.deepEqual([result.events, result.files, Number.isSafeInteger(result.seed)], [120, 3, true]);
  assert.equal(readManifest(path.resolve(cwd, result.manifest)).at(-1)!.line, 'end');
});

test('a live run that is stopped by SIGINT ends in good order, with exit 0', async (t) => {
  const directory = temporaryDirectory(t);
  const child = spawn(process.execPath, [...COMMAND, '--interval', '0.2', '--output-dir', directory], {
    stdio: 'ignore',
  });
  t.after(() => child.kill('SIGKILL'));
  await until('two files are published', () => readOutput(directory).names.length >= 2);
  child.kill('SIGINT');
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  assert.equal(exitCode, 0);
  const [manifest] = readdirSync(path.join(directory, '.manifest'));
  const end = readManifest(path.join(directory, '.manifest', manifest!)).at(-1)!;
  assert.deepEqual(end, {
    line: 'end',
    files: readOutput(directory).names.length,
    events: 10 * readOutput(directory).names.length,
    rows: 10 * readOutput(directory).names.length,
  });
  assert.ok(!existsSync(path.join(directory, '.staging')));
});

test('another run that ends, and removes the staging directory whenever it is empty, does no harm', async (t) => {
  const outputDir = temporaryDirectory(t);
  const remover = new Worker(
    `const { rmdirSync } = require('node:fs');
     const { parentPort, workerData } = require('node:worker_threads');
     parentPort.postMessage('started');
     for (;;) try { rmdirSync(workerData); } catch {}`,
    { eval: true, workerData: path.join(outputDir, '.staging') },
  );
  await once(remover, 'message');
  try {
    const { files } = await runGenerate({ ...FIXED, outputDir, batches: 1000, batchSize: 2 }, contextOf());
    assert.deepEqual([files, readOutput(outputDir).names.length], [1000, 1000]);
  } finally {
    await remover.terminate();
  }
});
