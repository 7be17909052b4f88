import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { EXECUTABLE, migratedDatabase, project, run } from '../cli/executable.js';
import { eventId, eventRow, HEADER } from '../helpers/events.js';
import { dayOf } from '../../src/platform/files/dayFolders.js';
import { namesIn, pathIn } from '../helpers/dayFolders.js';

// What a terminal obeys: C0 and C1 controls and what turns the direction of text; newlines are ours.
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
const EVIL = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e\r"\'$(x)';

test('names, headers and values with control characters reach no terminal raw: not in results, logs or JSON', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const processing = path.join(cwd, 'data/processing');
  mkdirSync(processing, { recursive: true });
  const bad = `${EVIL}\nline.csv`;
  writeFileSync(
    path.join(processing, bad),
    `${HEADER}\n${eventRow(1)}\n${eventRow(2, { quantity: '0', user_id: '"\u001b[2J"' })}\n${eventRow(3, { device: `"${EVIL.replaceAll('"', '""')}"` })}\nbroken,${EVIL}\n${eventRow(1, { price: '5' })}\n`,
  );
  writeFileSync(
    path.join(processing, `header${EVIL}.csv`),
    `event_id,"${EVIL.replaceAll('"', '""').replace('\r', '')}"\n1,2\n`,
  );
  const outputs: string[] = [];
  const step = async (...args: string[]): Promise<string> => {
    const { stdout, stderr } = await run(t, { cwd, env }, ...args);
    outputs.push(stdout, stderr);
    assert.doesNotMatch(stdout, CONTROLS, args.join(' '));
    assert.doesNotMatch(stderr, CONTROLS, args.join(' '));
    return stdout;
  };
  await step('stream', '--once', '--log-level', 'debug');
  for (const json of [[], ['--json', '--log-format', 'json']]) {
    for (const args of [
      ['rejects', 'list'],
      ['rejects', 'show', '1'],
      ['rejects', 'show', '2'],
      ['rejects', 'show', '3'],
      ['rejects', 'list', '--file', EVIL],
      ['trace', eventId(1)],
      ['status'],
      ['undo', '--file', bad, '--dry-run'],
      ['undo', '--file', EVIL, '--yes'],
      ['rejects', 'replay', EVIL],
      ['stream', '--input-dir', EVIL, '--once'],
      [EVIL],
      ['stream', `--${EVIL}`],
      ['trace', EVIL],
      ['rejects', EVIL],
    ])
      await step(...args, ...json);
  }
  assert.ok(
    outputs.some((text) => text.includes('\\u001b[2J')),
    'they are visible instead',
  );
  const list = JSON.parse(await step('rejects', 'list', '--json')) as { rejects: { file: string }[] };
  assert.equal(list.rejects[0]?.file, bad, 'JSON has the very name');
  const reason = namesIn(path.join(cwd, 'data/quarantine')).find((name) => name.endsWith('.reason.json')) ?? '';
  assert.match(
    (JSON.parse(readFileSync(pathIn(path.join(cwd, 'data/quarantine'), reason), 'utf8')) as { reason: string }).reason,
    /unknown column/,
  );
  assert.ok(namesIn(path.join(cwd, 'data/archive')).includes(bad));
});

test('a newline in a name, a value or a message forges no line: not of the log, of lists or of reasons', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const forged = '\nFORGED one\n  FORGED two\n  hint: FORGED';
  const directories = ['incoming', 'processing'].map((name) => path.join(cwd, 'data', name));
  for (const directory of directories) mkdirSync(directory, { recursive: true });
  const [incoming = '', processing = ''] = directories;
  const put = (name: string, text: string): void => writeFileSync(path.join(processing, `${name}${forged}.csv`), text);
  const value = `"x${forged}"`;
  put(
    'rows',
    `${HEADER}\n${eventRow(1)}\n${eventRow(2, { quantity: value })}\n${eventRow(3, { user_id: value, quantity: '0' })}\n`,
  );
  put('same', `${HEADER}\n${eventRow(1)}\n`);
  put('header', `event_id,${value}\n1,2\n`);
  put('garbage', `${HEADER}\n${'x\n'.repeat(3)}`);
  writeFileSync(path.join(incoming, `moved${forged}.csv`), `${HEADER}\n${eventRow(1)}\n${eventRow(5)}\n`);
  mkdirSync(path.join(incoming, `directory${forged}.csv`));
  const step = async (...args: string[]): Promise<string> => {
    const { stdout, stderr } = await run(t, { cwd, env }, ...args);
    for (const text of [stdout, stderr]) assert.doesNotMatch(text, /^\s*(hint: )?FORGED/m, args.join(' '));
    return `${stdout}${stderr}`;
  };
  await step('move', '--once', '--settle', '0', '--log-level', 'debug');
  const said = await step('stream', '--once', '--log-level', 'debug');
  assert.match(said, /rows\\nFORGED one/);
  await step('stream', '--once', '--max-rejected', '0');
  put('again', `${HEADER}\n${eventRow(6, { quantity: '0' })}\n`);
  await step('stream', '--once', '--max-rejected', '0');
  await step('stream', '--once', '--checkpoint-dir', `x${forged}`);
  for (const id of ['1', '2', '3']) await step('rejects', 'show', id);
  const rows = `rows${forged}.csv`;
  for (const args of [
    ['rejects', 'list'],
    ['rejects', 'export', '--output', `out${forged}`],
    ['rejects', 'export', '--output', `out${forged}`],
    ['rejects', 'replay', `out${forged}`],
    ['rejects', 'replay', `none${forged}`],
    ['trace', eventId(1)],
    ['trace', eventId(3)],
    ['status', '--check'],
    ['undo', '--file', rows, '--dry-run'],
    ['undo', '--file', `no${forged}`],
    ['undo', '--file', `header${forged}.csv`],
    ['undo', '--batch', '1', '--yes'],
    ['undo', '--batch', '1', '--yes'],
    ['verify', '--ledger'],
    ['feeds', 'check', path.join(cwd, 'data/processing', `again${forged}.csv`)],
  ])
    await step(...args);
});

test('what is suggested can be pasted: a shell runs nothing that is in the name', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  const name = 'a $(touch pwned) `touch pwned` "\' \n\u001b\\;touch pwned #.csv';
  writeFileSync(path.join(cwd, 'data/processing', name), `${HEADER}\n${eventRow(1, { quantity: '0' })}\n`);
  await run(t, { cwd, env }, 'stream', '--once');
  const { stdout } = await run(t, { cwd, env }, 'rejects', 'show', '1');
  const suggested = /^to do: (ecompipe rejects export --file .*? --output) FILE/m.exec(stdout)?.[1] ?? '';
  const bin = path.join(cwd, 'bin');
  mkdirSync(bin);
  symlinkSync(EXECUTABLE, path.join(bin, 'ecompipe'));
  const pasted = spawnSync('bash', ['-c', `${suggested} out.csv`], {
    cwd,
    env: { ...process.env, ...env, PATH: `${bin}:${process.env['PATH'] ?? ''}` },
    encoding: 'utf8',
  });
  assert.match(pasted.stdout, /^1 row in out\.csv/, pasted.stderr);
  assert.ok(!existsSync(path.join(cwd, 'pwned')));
});

test('links, directories and FIFOs with the names of files are not followed, loaded or moved, and what they point to stays', async (t) => {
  const { env, query } = await migratedDatabase(t);
  const cwd = project(t);
  const processing = path.join(cwd, 'data/processing');
  mkdirSync(path.join(processing, 'directory.csv'), { recursive: true });
  const outside = path.join(cwd, 'outside.csv');
  writeFileSync(outside, `${HEADER}\n${eventRow(1)}\n`);
  symlinkSync(outside, path.join(processing, 'link.csv'));
  symlinkSync('/nowhere', path.join(processing, 'dangling.csv'));
  symlinkSync(cwd, path.join(processing, 'home.csv'));
  // A name taken in archive/ by a link that points out of it.
  const archive = path.join(cwd, 'data/archive', dayOf(new Date()));
  mkdirSync(archive, { recursive: true });
  const target = path.join(cwd, 'target.csv');
  writeFileSync(target, 'precious\n');
  symlinkSync(target, path.join(archive, 'good.csv'));
  writeFileSync(path.join(processing, 'good.csv'), `${HEADER}\n${eventRow(2)}\n`);
  const { exitCode } = await run(t, { cwd, env }, 'stream', '--once');
  assert.equal(exitCode, 0);
  assert.deepEqual(await query('select event_id from public.events'), [{ event_id: eventId(2) }]);
  assert.deepEqual(readdirSync(processing).sort(), ['dangling.csv', 'directory.csv', 'home.csv', 'link.csv']);
  assert.equal(readFileSync(target, 'utf8'), 'precious\n');
  assert.ok(existsSync(outside));
  assert.equal(readdirSync(archive).length, 2, 'the loaded file lies beside the link');
});
