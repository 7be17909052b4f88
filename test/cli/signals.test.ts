import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { EXECUTABLE, migratedDatabase, project, start } from './executable.js';

test('a continuous command ends at the first signal with 0 and its result', async (t) => {
  const cwd = project(t);
  const database = await migratedDatabase(t);
  const commands = [
    {
      command: start(t, { cwd }, 'generate', '--output-dir', 'made'),
      said: 'generating',
      result: /^generated \d+ events?/,
    },
    { command: start(t, { cwd, env: database.env }, 'stream'), said: 'loading', result: /^loaded 0 rows/ },
  ];
  await Promise.all(
    commands.map(async ({ command, said, result }, index) => {
      await command.said(said);
      command.child.kill(index === 0 ? 'SIGINT' : 'SIGTERM');
      const { exitCode, stdout } = await command.end;
      assert.equal(exitCode, 0);
      assert.match(stdout, result);
      assert.match(command.output(), /info +finishing the open (?:file|batch); Ctrl-C again stops at once\n/);
    }),
  );
});

test('SIGHUP stops as SIGTERM does', async (t) => {
  const { child, said, end } = start(t, { cwd: project(t) }, 'generate', '--output-dir', 'made');
  await said('generating');
  child.kill('SIGHUP');
  const { exitCode, stdout } = await end;
  assert.equal(exitCode, 0);
  assert.match(stdout, /^generated \d+ events?/);
});

for (const [how, line] of Object.entries({
  'nohup and the executable': 'exec nohup "$0" "$@"',
  'a shell that ignores it': 'trap "" HUP; exec "$0" "$@"',
  'nohup and node': 'nohup node "$0" "$@"',
})) {
  test(`SIGHUP is ignored where it was ignored at the start: ${how}`, async (t) => {
    const cwd = project(t);
    const args = ['-c', line, EXECUTABLE, 'generate', '--output-dir', 'made', '--batches', '3', '--interval', '0.5'];
    const env = { PATH: process.env['PATH'] };
    const child = spawn('bash', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const end = once(child, 'close');
    let output = '';
    child.stdout.on('data', (text: Buffer) => (output += text.toString()));
    for await (const text of child.stderr) {
      output += String(text);
      if (!String(text).includes('generating')) continue;
      assert.ok(child.pid);
      process.kill(child.pid, 'SIGHUP');
    }
    await end;
    assert.match(output, /3 files/);
  });
}

test('a log that cannot be written does not stop the work', (t) => {
  const cwd = project(t);
  const line = 'exec "$0" generate --output-dir made --batches 2 --interval 0 2> /dev/full';
  execFileSync('bash', ['-c', line, EXECUTABLE], { cwd });
  assert.equal(readdirSync(path.join(cwd, 'made')).filter((name) => name.endsWith('.csv')).length, 2);
});

test('130: a one-shot command ended by a signal has not done all that was asked', async (t) => {
  const cwd = project(t);
  const { env } = await migratedDatabase(t);
  const commands = [
    start(
      t,
      { cwd },
      'generate',
      '--events',
      '1000000000',
      '--interval',
      '0',
      '--batch-size',
      '1000',
      '--output-dir',
      'a',
    ),
    start(t, { cwd }, 'generate', '--batches', '2', '--interval', '3600', '--output-dir', 'b'),
    start(t, { cwd, env }, 'run-all', '--events', '1000000000', '--interval', '60', '--until-drained'),
  ];
  const ended = await Promise.all(
    commands.map(async ({ child, said, end }) => {
      await said('generating');
      child.kill('SIGINT');
      return await end;
    }),
  );
  assert.deepEqual(
    ended.map(({ exitCode }) => exitCode),
    [130, 130, 130],
  );
  for (const { stdout } of ended) assert.match(stdout, /events|generated/, 'the result is told all the same');
});

test('130: a signal while the database is away ends the waiting', async (t) => {
  const env = { POSTGRES_HOST: '127.0.0.1', POSTGRES_PORT: '1' };
  const { child, said, end } = start(t, { cwd: project(t), env }, 'stream');
  await said('trying again');
  child.kill('SIGTERM');
  const { exitCode, stderr } = await end;
  assert.equal(exitCode, 130);
  assert.match(stderr, /stopped while the database was away[\s\S]*nothing is lost/);
});

test('130: a second signal ends even what cannot end tidily', async (t) => {
  const database = await migratedDatabase(t);
  const { child, said, end } = start(t, { cwd: project(t), env: database.env }, 'run-all');
  await said('generating');
  const blocker = await database.connect();
  blocker.on('error', () => undefined);
  // Neither the load nor the summary of the run gets past this lock.
  await blocker.query('begin; lock table public.events in access exclusive mode');
  child.kill('SIGINT');
  child.kill('SIGTERM');
  assert.equal((await end).exitCode, 130);
});

test('a reader that leaves early is no error', (t) => {
  const script = `${process.execPath} "$1" generate --interval 0 --events 3 --json | true; echo \${PIPESTATUS[0]}`;
  const executable = path.resolve(import.meta.dirname, '../../bin/ecompipe.js');
  assert.equal(
    execFileSync('bash', ['-c', script, 'bash', executable], {
      cwd: project(t),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim(),
    '0',
  );
});
