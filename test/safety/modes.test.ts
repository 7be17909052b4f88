import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { migratedDatabase, project, run, type StartOptions } from '../cli/executable.js';
import { eventFile, HEADER } from '../helpers/events.js';

const isRoot = process.getuid?.() === 0;
const [PRODUCER, MOVER, LOADER, GROUP] = [54_001, 54_002, 54_003, 54_000];
const STAGES = ['incoming', 'processing', 'archive', 'quarantine'].map((name) => `data/${name}`);

/** Files and directories below a project that grant more than these modes, as `path mode`. */
function wider(directory: string, files: number, directories: number): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const stats = lstatSync(path.join(directory, name));
    const excess = stats.mode & 0o777 & ~(stats.isDirectory() ? directories : files);
    return excess === 0 ? [] : [`${name} ${(stats.mode & 0o777).toString(8)}`];
  });
}

async function succeed(t: TestContext, options: StartOptions, ...args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await run(t, options, ...args);
  assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
}

for (const [umask, files, directories] of [
  [0, 0o640, 0o750],
  [0o077, 0o600, 0o700],
] as const) {
  test(`with umask 0${umask.toString(8).padStart(2, '0')}, nothing that is written grants more than 0${files.toString(8)} and 0${directories.toString(8)}`, async (t) => {
    const { env } = await migratedDatabase(t);
    const cwd = project(t);
    const old = process.umask(umask);
    t.after(() => process.umask(old));
    await succeed(
      t,
      { cwd, env },
      'run-all',
      '--events',
      '500',
      '--batch-size',
      '100',
      '--interval',
      '0',
      '--dirt',
      'wrong-type=0.2',
      '--until-drained',
    );
    // What a producer has written keeps its mode where it is only renamed.
    const file = path.join(cwd, 'data/processing/unreadable.csv');
    writeFileSync(file, 'no,header\n', { mode: files });
    await succeed(t, { cwd, env }, 'stream', '--once');
    await succeed(t, { cwd, env }, 'rejects', 'export', '--output', 'rejects.csv');
    assert.deepEqual(wider(cwd, files, directories), []);
    const written = readdirSync(cwd, { recursive: true, encoding: 'utf8' }).join('\n');
    for (const expected of [
      /manifest.*jsonl/,
      /archive.*\.csv/,
      /\.reason\.json/,
      /stream\.json/,
      /owner-id/,
      /rejects\.csv/,
    ])
      assert.match(written, expected);
  });
}

test(
  'generator, mover and loader of three users work together through their group',
  { skip: isRoot ? false : 'needs root' },
  async (t) => {
    const database = await migratedDatabase(t);
    const cwd = project(t);
    for (const name of ['data', 'checkpoints', ...STAGES]) {
      mkdirSync(path.join(cwd, name), { recursive: true });
      chownSync(path.join(cwd, name), 0, GROUP);
      chmodSync(path.join(cwd, name), 0o2770);
    }
    const as = (uid: number): StartOptions => ({ cwd, env: database.env, uid, gid: GROUP });
    await succeed(t, as(PRODUCER), 'generate', '--events', '300', '--batch-size', '100', '--interval', '0');
    await succeed(t, as(MOVER), 'move', '--once', '--settle', '0');
    writeFileSync(path.join(cwd, 'data/processing/bad.csv'), `${HEADER},what\n`, { mode: 0o640 });
    chownSync(path.join(cwd, 'data/processing/bad.csv'), PRODUCER, GROUP);
    await succeed(t, as(LOADER), 'stream', '--once');
    assert.deepEqual(await database.query('select count(*)::int4 as rows from events'), [{ rows: 300 }]);
    const left = (directory: string): string[] =>
      readdirSync(path.join(cwd, directory)).filter((name) => !name.startsWith('.'));
    assert.deepEqual([left('data/incoming'), left('data/processing')], [[], []]);
    assert.equal(readdirSync(path.join(cwd, 'data/quarantine'), { recursive: true }).length, 3);
  },
);

test("a link in the place of the day's folder in a shared quarantine leads nothing of ours elsewhere", async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const elsewhere = project(t);
  for (const name of STAGES) mkdirSync(path.join(cwd, name), { recursive: true });
  const today = new Date();
  for (const days of [0, 1])
    symlinkSync(
      elsewhere,
      path.join(cwd, 'data/quarantine', new Date(today.getTime() + days * 86_400_000).toISOString().slice(0, 10)),
    );
  writeFileSync(path.join(cwd, 'data/processing/bad.csv'), 'no,header\n');
  writeFileSync(path.join(cwd, 'data/processing/good.csv'), eventFile(0, 3));
  const { exitCode, stderr } = await run(t, { cwd, env }, 'stream', '--once');
  assert.equal(exitCode, 77, stderr);
  assert.match(stderr, /it is a symbolic link/);
  assert.deepEqual(readdirSync(elsewhere), []);
  assert.deepEqual(readdirSync(path.join(cwd, 'data/processing')), ['bad.csv']);
});
