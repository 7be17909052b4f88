import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FileLine, ManifestLine } from '../../../src/contract/manifest/format.js';
import { runGenerate } from '../../../src/pipeline/generate/runGenerate.js';
import { contextOf, FIXED, generated, readManifest, readOutput, temporaryDirectory } from './run.js';

const SCRIPT = fileURLToPath(new URL('killed.ts', import.meta.url));

function killedRun(
  t: TestContext,
  type: string,
  count: number,
  dirt = 'clean',
): { directory: string; manifest: ManifestLine[] } {
  const directory = temporaryDirectory(t);
  const { signal, stderr } = spawnSync(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), SCRIPT, directory, type, String(count), dirt],
    { encoding: 'utf8' },
  );
  assert.equal(signal, 'SIGKILL', stderr);
  const [name] = readdirSync(path.join(directory, '.manifest'));
  return { directory, manifest: readManifest(path.join(directory, '.manifest', name!)) };
}

/** The files that a manifest says are published, by the rule of its format. */
function publishedBy(manifest: readonly ManifestLine[], directory: string): FileLine[] {
  const files = manifest.filter((line): line is FileLine => line.line === 'file');
  const last = files.at(-1);
  const isOpen = last !== undefined && manifest.at(-1) === last && existsSync(path.join(directory, last.staged));
  return isOpen ? files.slice(0, -1) : files;
}

/** What the manifest says was published is what is there. */
function assertTrue(directory: string, manifest: readonly ManifestLine[]): void {
  const published = publishedBy(manifest, directory);
  assert.deepEqual(
    published.map(({ file }) => file),
    readOutput(directory).names,
  );
  for (const { file, sha256, bytes } of published) {
    const content = readFileSync(path.join(directory, file));
    assert.equal(content.length, bytes);
    assert.equal(createHash('sha256').update(content).digest('hex'), sha256);
  }
}

test('killed between manifest and publishing, the manifest has one file more, and says so', (t) => {
  const { directory, manifest } = killedRun(t, 'fileSealed', 5);
  assert.equal(readOutput(directory).names.length, 4);
  assert.equal(manifest.filter(({ line }) => line === 'file').length, 5);
  assertTrue(directory, manifest);
});

test('killed right after publishing, the manifest has the same files', (t) => {
  const { directory, manifest } = killedRun(t, 'filePublished', 5);
  assert.equal(readOutput(directory).names.length, 5);
  assertTrue(directory, manifest);
});

test('killed with dirt, between the two publications of one content, the manifest is still true', (t) => {
  for (const count of [2, 3, 4]) {
    const { directory, manifest } = killedRun(t, 'fileSealed', count, 'redelivered-file=1,late-1h=0.1');
    assertTrue(directory, manifest);
  }
});

test('killed before the first file, the manifest promises nothing', (t) => {
  const { directory, manifest } = killedRun(t, 'runStarted', 1);
  assert.deepEqual(
    manifest.map(({ line }) => line),
    ['run'],
  );
  assertTrue(directory, manifest);
});

test('the same run again after a kill publishes the same names with the same bytes, and keeps the first manifest', async (t) => {
  const { directory, manifest } = killedRun(t, 'fileSealed', 5);
  const before = readOutput(directory);
  const result = await runGenerate({ ...FIXED, outputDir: directory, events: 3000, batchSize: 100 }, contextOf());
  const after = readOutput(directory);
  assert.equal(after.names.length, 30);
  assert.deepEqual(after.contents.slice(0, 4), before.contents);
  assert.equal(readdirSync(path.join(directory, '.manifest')).length, 2);
  // All but where it was written: what the killed run left there keeps its place.
  const facts = (lines: readonly ManifestLine[]): unknown[] =>
    lines.slice(1, 6).map((line) => ({ ...line, staged: undefined }));
  assert.deepEqual(facts(readManifest(result.manifest)), facts(manifest));
});

test('a file whose name can not be published is withdrawn, and the error says which', async (t) => {
  const directory = temporaryDirectory(t);
  const { names } = await generated(t, { events: 200, batchSize: 100 });
  mkdirSync(path.join(directory, names[1]!));
  writeFileSync(path.join(directory, names[1]!, 'in the way'), '');
  await assert.rejects(runGenerate({ ...FIXED, outputDir: directory, events: 200, batchSize: 100 }, contextOf()), {
    name: 'FileError',
    path: path.join(directory, names[1]!),
    exitCode: 74,
  });
  const [manifest] = readdirSync(path.join(directory, '.manifest'));
  assert.deepEqual(readManifest(path.join(directory, '.manifest', manifest!)).at(-1), {
    line: 'withdrawn',
    file: names[1],
  });
  assert.ok(!existsSync(path.join(directory, '.staging')));
});

test('a directory that can not be made is a FileError, and no manifest is left open', async (t) => {
  const directory = temporaryDirectory(t);
  const blocked = path.join(directory, 'file');
  writeFileSync(blocked, '');
  await assert.rejects(runGenerate({ ...FIXED, outputDir: path.join(blocked, 'out'), events: 10 }, contextOf()), {
    name: 'FileError',
  });
  await assert.rejects(
    runGenerate({ ...FIXED, outputDir: path.join(directory, 'out'), manifestDir: blocked, events: 10 }, contextOf()),
    { name: 'FileError' },
  );
});

test('a mover may take files away while the run goes on', async (t) => {
  const directory = temporaryDirectory(t);
  const moved = temporaryDirectory(t);
  await runGenerate(
    { ...FIXED, outputDir: directory, events: 500, batchSize: 50 },
    contextOf({
      emit: (event) => {
        if (event.type === 'filePublished') renameSync(event.path, path.join(moved, event.file));
      },
    }),
  );
  assert.equal(readOutput(moved).names.length, 10);
  assert.deepEqual(readOutput(directory).names, []);
});
