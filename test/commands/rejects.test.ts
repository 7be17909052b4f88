import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { csv, migratedDatabase, project, run } from '../cli/executable.js';

test('rejects are listed, shown, exported, corrected and replayed, with exit code 3 for what is still wrong', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/bad.csv'), csv(1, 3));
  await run(t, { cwd, env }, 'stream', '--once');
  const rejects = (...args: string[]): ReturnType<typeof run> => run(t, { cwd, env }, 'rejects', ...args);

  const list = await rejects('list', '--limit', '2');
  assert.equal(list.exitCode, 0);
  assert.match(
    list.stdout,
    /^3 open rejects, by reason:\n +3 {2}23514 {2}events_event_type_known in 1 file, such as: event_type "no_such_type" breaks/,
  );
  assert.match(list.stdout, /the newest 2:\n {2}#3 {2}bad\.csv:5 .*\n {2}#2 {2}bad\.csv:4 /);
  const show = await rejects('show', '2');
  assert.match(
    show.stdout,
    /place +bad\.csv:4, byte \d+\n[^]*SQLSTATE +23514[^]*column +event_type\n[^]*no_such_type,2026-11-01T00:00:00Z,u1,s1[^]*to do: ecompipe rejects export/,
  );

  const toStdout = await rejects('export');
  assert.equal((await rejects('export', '--output', 'r.csv')).exitCode, 0);
  assert.equal(readFileSync(path.join(cwd, 'r.csv'), 'utf8'), toStdout.stdout);
  const again = await rejects('export', '--output', 'r.csv');
  assert.equal(again.exitCode, 2, 'corrections are not overwritten');

  let left = 2;
  writeFileSync(
    path.join(cwd, 'r.csv'),
    toStdout.stdout.replace(/^([^,]+),no_such_type/gm, (start, id: string) => (left-- > 0 ? `${id},page_view` : start)),
  );
  const strict = await rejects('replay', 'r.csv', '--strict');
  assert.equal(strict.exitCode, 3);
  assert.match(
    strict.stdout,
    /^3 rows of r\.csv: 2 inserted \(batch \d+\)\n {2}1 rejected again; they stay open:\n {4}r\.csv:\d \(reject \d\): 23514 event_type/,
  );
  assert.equal((await rejects('replay', 'r.csv')).exitCode, 0);
  assert.match((await rejects('list')).stdout, /^1 open reject,/);
  assert.match((await rejects('show', '2', '--json')).stdout, /"resolution":"inserted"/);
});

test('a word that is nearly right gets a suggestion, and a name of JavaScript is no word', async (t) => {
  const cwd = project(t);
  for (const [command, word, said] of [
    ['rejects', 'lst', /expected list, show ID, export or replay FILE \(did you mean list\?\)/],
    ['feeds', 'lst', /expected list, show NAME, init FILE or check FILE \(did you mean list\?\)/],
    ['feeds', 'constructor', /feeds constructor: expected list/],
    ['rejects', 'constructor', /rejects constructor: expected list/],
    ['db', 'stat', /\(did you mean start\?\)/],
    ['db', 'restore', /db restore: expected a file that db dump has written/],
    ['spark', 'prepair', /spark prepair: expected prepare or bundle \(did you mean prepare\?\)/],
  ] as const) {
    const { exitCode, stderr } = await run(t, { cwd }, command, word);
    assert.equal(exitCode, 2);
    assert.match(stderr, said);
  }
});

test('wrong words are usage errors', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const cases = [
    ['nonsense'],
    [],
    ['list', 'extra'],
    ['show'],
    ['show', 'x'],
    ['show', '1'],
    ['replay'],
    ['replay', 'a', 'b'],
  ];
  const ended = await Promise.all(cases.map((args) => run(t, { cwd, env }, 'rejects', ...args)));
  assert.deepEqual(
    ended.map(({ exitCode }) => exitCode),
    cases.map(() => 2),
  );
  const missing = await run(t, { cwd, env }, 'rejects', 'replay', 'missing.csv');
  assert.equal(missing.exitCode, 74);
  assert.match(missing.stderr, /cannot read missing\.csv/);
});

test('after a replay of generated rows the tables still prove what was generated', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const step = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(t, { cwd, env }, ...args);
    assert.equal(exitCode, 0, stderr);
    return stdout;
  };
  await step(
    'generate',
    '--interval',
    '0',
    '--events',
    '3000',
    '--batch-size',
    '300',
    '--seed',
    '7',
    '--start',
    '2026-11-01',
    '--dirt',
    'wrong-type=2%,negative=2%,redelivery=2%,conflict=1%',
  );
  await step('move', '--once');
  await step('stream', '--once');
  const text = await step('rejects', 'export');
  writeFileSync(path.join(cwd, 'r.csv'), text.replace(/,-1,/g, ',1,').replace(/,(two|many|1\.5),/g, ',2,'));
  const { inserted } = JSON.parse(await step('rejects', 'replay', 'r.csv', '--json')) as { inserted: number };
  assert.ok(inserted > 10, `${inserted} inserted`);
  assert.match(await step('verify'), /^lost 0 · duplicated 0 · corrupted 0\n/);
});
