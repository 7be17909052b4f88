import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { EcompipeError } from '../../../src/platform/errors.js';
import { createPipeline, type Pipeline } from './pipeline.js';

const manifestOf = ({ manifests }: Pipeline): string => path.join(manifests, readdirSync(manifests)[0]!);
const linesOf = (file: string): string[] => readFileSync(file, 'utf8').trimEnd().split('\n');
const csvFiles = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.csv'))
    .sort();

async function exitCodeOf(action: Promise<unknown>): Promise<number> {
  const error: unknown = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof EcompipeError, String(error));
  return error.exitCode;
}

test('no directory is an I/O error, and a directory without or with a foreign manifest a usage error', async (t) => {
  const pipeline = await createPipeline(t);
  assert.equal(await exitCodeOf(pipeline.verify()), 74);
  mkdirSync(pipeline.manifests);
  assert.equal(await exitCodeOf(pipeline.verify()), 2);
  for (const content of [
    '{"line":"file"}\n',
    '{"line":"run","manifestVersion":99}\n',
    'not JSON\n',
    '{"some":"thing"}\n',
    'null\n',
  ]) {
    writeFileSync(path.join(pipeline.manifests, 'run.jsonl'), content);
    assert.equal(await exitCodeOf(pipeline.verify()), 2, content);
  }
});

test('a generator killed before it wrote a whole line has promised nothing', async (t) => {
  const pipeline = await createPipeline(t);
  mkdirSync(pipeline.manifests);
  writeFileSync(path.join(pipeline.manifests, 'run.jsonl'), '{"line":"run","manifestVer');
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.files, result.rows], [true, 0, 0]);
});

test('a generator killed in the middle of a line published nothing after the line before', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate();
  const lines = linesOf(manifestOf(pipeline));
  rmSync(path.join(pipeline.incoming, csvFiles(pipeline.incoming)[3]!));
  writeFileSync(manifestOf(pipeline), `${lines.slice(0, 4).join('\n')}\n${lines[4]!.slice(0, 50)}`);
  await pipeline.move();
  await pipeline.stream();
  const result = await pipeline.verify();
  assert.deepEqual([result.ok, result.files, result.rows], [true, 3, 1500]);
});

for (const [moment, isStaged, files] of [
  ['before', true, 3],
  ['after', false, 4],
] as const) {
  test(`a generator killed right ${moment} it published its last file has promised ${files} files`, async (t) => {
    const pipeline = await createPipeline(t);
    await pipeline.generate();
    writeFileSync(manifestOf(pipeline), `${linesOf(manifestOf(pipeline)).slice(0, 5).join('\n')}\n`);
    const last = csvFiles(pipeline.incoming)[3]!;
    mkdirSync(path.join(pipeline.incoming, '.staging'));
    if (isStaged) renameSync(path.join(pipeline.incoming, last), path.join(pipeline.incoming, '.staging', last));
    await pipeline.move();
    await pipeline.stream();
    const result = await pipeline.verify();
    assert.deepEqual([result.ok, result.files, result.rows], [true, files, 500 * files]);
  });
}

test('a file that was withdrawn counts for nothing', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate();
  const last = csvFiles(pipeline.incoming)[3]!;
  rmSync(path.join(pipeline.incoming, last));
  writeFileSync(manifestOf(pipeline), `${linesOf(manifestOf(pipeline)).slice(0, 5).join('\n')}\n`);
  appendFileSync(manifestOf(pipeline), `${JSON.stringify({ line: 'withdrawn', file: last })}\n`);
  await pipeline.move();
  await pipeline.stream();
  assert.deepEqual([(await pipeline.verify()).ok, (await pipeline.verify()).files], [true, 3]);
});
