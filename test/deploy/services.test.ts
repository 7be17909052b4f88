import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseEnv } from 'node:util';
import { ROOT } from '../docs/guide.js';
import { EXECUTABLE } from '../helpers/executable.js';
import { migratedDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { namesIn } from '../helpers/dayFolders.js';

const DIRECTORY = path.join(ROOT, 'deploy/systemd');
const units = readdirSync(DIRECTORY).filter((name) => /\.(service|timer)$/.test(name));
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

for (const unit of units) {
  test(`systemd finds nothing wrong with ${unit}`, { skip: !hasSystemd && 'systemd-analyze is not installed' }, () => {
    const { stderr } = spawnSync('systemd-analyze', ['verify', path.join(DIRECTORY, unit)], { encoding: 'utf8' });
    // It speaks of what else is on the machine, too.
    assert.doesNotMatch(stderr, new RegExp(unit.replaceAll('.', '\\.')));
  });
}

test("every setting in the units' environment file is one that ecompipe knows", () => {
  const known = new Set(
    [...readFileSync(path.join(ROOT, '.env.example'), 'utf8').matchAll(/^#(\w+)=/gm)].map(([, name]) => name),
  );
  assert.deepEqual(
    Object.keys(environmentFile()).filter((name) => !known.has(name)),
    [],
  );
});

test("the command of the timer's unit loads what is there, and leaves metrics behind", async (t) => {
  const machine = await hostFor(t);
  const [, command = ''] =
    /^ExecStart=(.*)$/m.exec(readFileSync(path.join(DIRECTORY, 'ecompipe-once.service'), 'utf8')) ?? [];
  const { exitCode, stderr } = await machine.shell(command);
  assert.equal(exitCode, 0, stderr);
  await machine.assertLoaded();
});

test('the line of the crontab does the same, and a second one that starts meanwhile stays away', async (t) => {
  const machine = await hostFor(t);
  const [load = '', check = ''] = cronCommands();
  const [, lock = ''] = /flock -n (\S+)/.exec(load) ?? [];
  const holder = spawn('flock', [machine.path(lock), 'sh', '-c', 'echo locked; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  assert.deepEqual(await machine.shell(load).then(({ exitCode, stderr }) => [exitCode, stderr]), [1, '']);
  holder.stdin.end('\n');
  await once(holder, 'close');

  assert.deepEqual(await machine.shell(load).then(({ exitCode, stderr }) => [exitCode, stderr]), [0, '']);
  await machine.assertLoaded();
  const checked = await machine.shell(check);
  assert.equal(checked.exitCode, 0, checked.stderr);
});

function environmentFile(): Record<string, string> {
  return parseEnv(readFileSync(path.join(DIRECTORY, 'ecompipe.env'), 'utf8')) as Record<string, string>;
}

/** The PATH that cron runs them with: the crontab's, or cron's own. */
function cronPath(): string {
  const [, set] = /^PATH=(.+)$/m.exec(readFileSync(path.join(ROOT, 'deploy/crontab'), 'utf8')) ?? [];
  return set ?? '/usr/bin:/bin';
}

/** The command lines of the crontab, behind five times and the user. */
function cronCommands(): string[] {
  const lines = readFileSync(path.join(ROOT, 'deploy/crontab'), 'utf8')
    .split('\n')
    .filter((line) => /^[*\d]/.test(line));
  return lines.map((line) => line.split(' ').slice(6).join(' '));
}

interface Host {
  /** A path of the units on this host. */
  readonly path: (text: string) => string;
  readonly shell: (command: string) => Promise<{ exitCode: number | null; stderr: string }>;
  readonly assertLoaded: () => Promise<void>;
}

/** A directory that stands for /, with `ecompipe` on the PATH, the settings in /etc/ecompipe and one file to load. */
async function hostFor(t: TestContext): Promise<Host> {
  const root = mkdtempSync(path.join(tmpdir(), 'ecompipe-host-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const database = await migratedDatabase();
  const there = (text: string): string => text.replaceAll(/(?<![\w.])\/(etc|srv|var\/lib)\//g, `${root}/$1/`);
  const settings = { ...environmentFile(), ...database.env, POSTGRES_SSLMODE: 'disable' };
  for (const directory of [
    'etc/ecompipe',
    'usr/local/bin',
    'var/lib/ecompipe',
    'srv/shop/incoming',
    'srv/shop/processing',
    'srv/shop/archive',
    'srv/shop/quarantine',
  ])
    mkdirSync(path.join(root, directory), { recursive: true });
  writeFileSync(
    path.join(root, 'etc/ecompipe/ecompipe.env'),
    Object.entries(settings)
      .map(([name, value]) => `${name}='${there(value)}'\n`)
      .join(''),
  );
  // Where npm puts it under its usual prefix.
  const executable = path.join(root, 'usr/local/bin/ecompipe');
  writeFileSync(executable, `#!/bin/sh\nexec "${process.execPath}" "${EXECUTABLE}" "$@"\n`);
  chmodSync(executable, 0o755);
  writeFileSync(path.join(root, 'srv/shop/processing/orders.csv'), FILE);
  const shell: Host['shell'] = async (command) => {
    const withSettings = `set -a; . ${root}/etc/ecompipe/ecompipe.env; ${there(command)}`;
    const child = spawn('sh', ['-c', withSettings], {
      cwd: root,
      env: {
        PATH: cronPath().replaceAll('/usr/local/bin', `${root}/usr/local/bin`),
        SHELL: '/bin/sh',
        HOME: root,
        LOGNAME: 'ecompipe',
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    await once(child, 'close');
    return { exitCode: child.exitCode, stderr };
  };
  return { path: there, shell, assertLoaded: () => assertLoaded(database, root) };
}

const FILE =
  'event_id,event_type,event_time,user_id,session_id\n0199c82c-c007-758f-8899-a702d5a25899,page_view,2026-11-22T10:00:00Z,u1,s1\n';

async function assertLoaded(database: TestDatabase, root: string): Promise<void> {
  assert.deepEqual(await database.query('select user_id from events'), [{ user_id: 'u1' }]);
  assert.deepEqual(namesIn(path.join(root, 'srv/shop/archive')), ['orders.csv']);
  assert.match(
    readFileSync(path.join(root, 'var/lib/ecompipe/ecompipe.prom'), 'utf8'),
    /^ecompipe_rows_total\{.*\} 1$/m,
  );
}
