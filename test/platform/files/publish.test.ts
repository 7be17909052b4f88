import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  linkSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import fc from 'fast-check';
import { moveIntoDirectory, moveWithoutOverwrite, numberedName } from '../../../src/platform/files/publish.js';
import { contents, directoryElsewhere, noSecondFileSystem, temporaryDirectory } from './directories.js';

interface Place {
  readonly from: string;
  readonly to: string;
}

/** Each behaviour holds within one file system and across two. */
function onBothKinds(name: string, behaviour: (place: Place, t: TestContext) => Promise<void>): void {
  test(`${name} (within one file system)`, (t) =>
    behaviour({ from: temporaryDirectory(t), to: temporaryDirectory(t) }, t));
  test(`${name} (across two file systems)`, { skip: noSecondFileSystem }, (t) =>
    behaviour({ from: temporaryDirectory(t), to: directoryElsewhere(t) }, t),
  );
}

onBothKinds('a file moves with its content, mode and modification time', async ({ from, to }) => {
  const source = path.join(from, 'a.csv');
  writeFileSync(source, 'x'.repeat(3_000_000), { mode: 0o640 });
  utimesSync(source, 1_000_000, 2_000_000);
  assert.equal(await moveIntoDirectory(source, to), 'a.csv');
  assert.deepEqual(contents(from), {});
  assert.deepEqual(contents(to), { 'a.csv': 'x'.repeat(3_000_000) });
  const { mtimeMs, mode } = statSync(path.join(to, 'a.csv'));
  assert.deepEqual([mtimeMs, mode & 0o777], [2_000_000_000, 0o640]);
});

onBothKinds('a taken name is never overwritten and nothing is left behind', async ({ from, to }) => {
  writeFileSync(path.join(from, 'a.csv'), 'new');
  writeFileSync(path.join(to, 'a.csv'), 'old');
  assert.equal(await moveWithoutOverwrite(path.join(from, 'a.csv'), path.join(to, 'a.csv')), false);
  assert.deepEqual([contents(from), contents(to)], [{ 'a.csv': 'new' }, { 'a.csv': 'old' }]);
  assert.equal(await moveIntoDirectory(path.join(from, 'a.csv'), to), 'a.1.csv');
  assert.deepEqual([contents(from), contents(to)], [{}, { 'a.csv': 'old', 'a.1.csv': 'new' }]);
});

onBothKinds('a name that is taken a hundred times over still finds a free one', async ({ from, to }) => {
  for (let index = 0; index < 100; index++) {
    writeFileSync(path.join(from, 'export.csv'), String(index));
    await moveIntoDirectory(path.join(from, 'export.csv'), to);
  }
  assert.deepEqual(
    new Set(Object.values(contents(to))),
    new Set(Array.from({ length: 100 }, (_, index) => String(index))),
  );
});

onBothKinds('a source that is gone is ENOENT and makes no target', async ({ from, to }) => {
  await assert.rejects(moveIntoDirectory(path.join(from, 'a.csv'), to), { code: 'ENOENT' });
  assert.deepEqual(contents(to), {});
});

test('a move that was killed between link and unlink is finished, not doubled', async (t) => {
  const [from, to] = [temporaryDirectory(t), temporaryDirectory(t)];
  writeFileSync(path.join(from, 'a.csv'), 'x');
  writeFileSync(path.join(to, 'a.csv'), 'other');
  linkSync(path.join(from, 'a.csv'), path.join(to, 'a.1.csv'));
  assert.equal(await moveIntoDirectory(path.join(from, 'a.csv'), to), 'a.1.csv');
  assert.deepEqual([contents(from), contents(to)], [{}, { 'a.csv': 'other', 'a.1.csv': 'x' }]);
});

test(
  'a move across file systems that was killed before the unlink is finished, not doubled',
  { skip: noSecondFileSystem },
  async (t) => {
    const [from, to] = [temporaryDirectory(t), directoryElsewhere(t)];
    writeFileSync(path.join(from, 'a.csv'), 'x');
    writeFileSync(path.join(to, 'a.csv'), 'y');
    writeFileSync(path.join(to, 'a.1.csv'), 'x');
    assert.equal(await moveIntoDirectory(path.join(from, 'a.csv'), to), 'a.1.csv');
    assert.deepEqual([contents(from), contents(to)], [{}, { 'a.csv': 'y', 'a.1.csv': 'x' }]);
  },
);

test('a copy that is stopped leaves the source and no trace', { skip: noSecondFileSystem }, async (t) => {
  const [from, to] = [temporaryDirectory(t), directoryElsewhere(t)];
  writeFileSync(path.join(from, 'a.csv'), 'x');
  await assert.rejects(moveIntoDirectory(path.join(from, 'a.csv'), to, 'a.csv', AbortSignal.abort()), {
    name: 'AbortError',
  });
  assert.deepEqual([contents(from), contents(to)], [{ 'a.csv': 'x' }, {}]);
});

test('a file that is written to while it is copied is not published', { skip: noSecondFileSystem }, async (t) => {
  const [from, to] = [temporaryDirectory(t), directoryElsewhere(t)];
  const source = path.join(from, 'a.csv');
  writeFileSync(source, Buffer.alloc(20_000_000));
  const move = moveWithoutOverwrite(source, path.join(to, 'a.csv'));
  const growing = setInterval(() => writeFileSync(source, 'more', { flag: 'a' }), 1);
  await assert.rejects(move, { errno: 'EBUSY' }).finally(() => clearInterval(growing));
  assert.deepEqual(contents(to), {});
  assert.ok(existsSync(source));
});

test('a FIFO in place of the source or of the target is not waited for', { skip: noSecondFileSystem }, async (t) => {
  const [from, to] = [temporaryDirectory(t), directoryElsewhere(t)];
  spawnSync('mkfifo', [path.join(from, 'a.csv'), path.join(to, 'b.csv')]);
  writeFileSync(path.join(from, 'b.csv'), 'x');
  await assert.rejects(moveIntoDirectory(path.join(from, 'a.csv'), to), { errno: 'EINVAL' });
  assert.equal(await moveIntoDirectory(path.join(from, 'b.csv'), to), 'b.1.csv');
});

test('numbers stand before the ending that says what the file is', () => {
  assert.equal(numberedName('orders.csv.gz', 2), 'orders.2.csv.gz');
  assert.equal(numberedName('orders.2026.CSV', 1), 'orders.2026.1.CSV');
  assert.equal(numberedName('orders', 1), 'orders.1');
});

test('a numbered name never exceeds 255 bytes and stays valid UTF-8', () => {
  const numbered = numberedName(`${'日'.repeat(83)}.csv`, 12);
  assert.ok(Buffer.byteLength(numbered) <= 255);
  assert.match(numbered, /^日+\.12\.csv$/);
});

/** A small world, so that collisions are the rule. */
const smallName = fc.constantFrom('a.csv', 'b.csv', 'a.1.csv', 'a.csv.gz');
const smallWorld = fc.dictionary(smallName, fc.constantFrom('1', '2', '3'), { noNullPrototype: true });

onBothKinds('whatever stands in both directories, nothing is overwritten, lost or left', async ({ from, to }, t) => {
  await fc.assert(
    fc.asyncProperty(smallWorld, smallWorld, async (sources, targets) => {
      const [origin, destination] = [temporaryDirectory(t, from), temporaryDirectory(t, to)];
      for (const [name, content] of Object.entries(sources)) writeFileSync(path.join(origin, name), content);
      for (const [name, content] of Object.entries(targets)) writeFileSync(path.join(destination, name), content);
      const moved = new Map<string, string>();
      for (const [name, content] of Object.entries(sources))
        moved.set(await moveIntoDirectory(path.join(origin, name), destination), content);
      assert.deepEqual(contents(origin), {});
      assert.deepEqual(contents(destination), {
        ...Object.fromEntries(Object.entries(contents(destination)).filter(([name]) => moved.has(name))),
        ...targets,
      });
      for (const [name, content] of moved) assert.equal(contents(destination)[name], content);
    }),
    { numRuns: 60 },
  );
});

for (const how of ['a link to its directory', 'the same directory'] as const) {
  test(`a file that is moved onto itself through ${how} stays, and the move fails`, async (t) => {
    const from = temporaryDirectory(t);
    const to = how === 'the same directory' ? from : path.join(temporaryDirectory(t), 'link');
    if (to !== from) symlinkSync(from, to);
    writeFileSync(path.join(from, 'a.csv'), 'only copy');
    // Other names of the file elsewhere don't make a second one here.
    linkSync(path.join(from, 'a.csv'), path.join(from, 'b.csv'));
    await assert.rejects(moveWithoutOverwrite(path.join(from, 'a.csv'), path.join(to, 'a.csv')), { name: 'FileError' });
    assert.deepEqual(contents(from), { 'a.csv': 'only copy', 'b.csv': 'only copy' });
  });
}

const protectsLinks =
  process.getuid?.() === 0 && readFileSync('/proc/sys/fs/protected_hardlinks', 'utf8').trim() === '1';

test(
  'files of another owner, which may not be linked, are moved without overwriting any of the same name',
  { skip: protectsLinks ? false : 'needs root and fs.protected_hardlinks' },
  async (t) => {
    const [a, b, to] = [temporaryDirectory(t), temporaryDirectory(t), temporaryDirectory(t)];
    for (const directory of [a, b, to]) chmodSync(directory, 0o777);
    const names = Array.from({ length: 200 }, (_, index) => `${index}.csv`);
    for (const name of names) {
      writeFileSync(path.join(a, name), `a ${name}`, { mode: 0o644 });
      writeFileSync(path.join(b, name), `b ${name}`, { mode: 0o644 });
    }
    const module = new URL('../../../src/platform/files/publish.ts', import.meta.url).href;
    const code = `
      const { moveIntoDirectory } = await import(${JSON.stringify(module)});
      const [, from] = process.argv;
      for (const name of ${JSON.stringify(names)}) await moveIntoDirectory(from + '/' + name, ${JSON.stringify(to)});`;
    const movers = [a, b].map((from) =>
      spawn(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code, from], {
        uid: 65_534,
        gid: 65_534,
        env: { PATH: process.env['PATH'], HOME: to, TMPDIR: to },
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
    const ends = await Promise.all(movers.map((mover) => once(mover, 'close')));
    assert.deepEqual(ends, [
      [0, null],
      [0, null],
    ]);
    const found = Object.values(contents(to)).filter((content) => /^[ab] /.test(content));
    assert.deepEqual(found.sort(), names.flatMap((name) => [`a ${name}`, `b ${name}`]).sort());
  },
);
