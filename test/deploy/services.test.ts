import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseEnv } from 'node:util';
import { documentBlocks, ROOT } from '../docs/markdown.js';
import { EXECUTABLE } from '../helpers/executable.js';
import { migratedDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { namesIn } from '../helpers/dayFolders.js';
import { atEnd } from '../helpers/atEnd.js';

const DIRECTORY = path.join(ROOT, 'deploy/systemd');
const units = readdirSync(DIRECTORY).filter((name) => /\.(service|timer)$/.test(name));
const isRoot = process.getuid?.() === 0;
/** Stands for the user `ecompipe`, and its group: nobody. */
const USER = 65_534;
const AS_USER = isRoot ? { uid: USER, gid: USER } : {};
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
  const { exitCode, output } = await machine.cron(
    `set -a; . /etc/ecompipe/ecompipe.env; ${unitLine('ecompipe-once', 'ExecStart')}`,
  );
  assert.equal(exitCode, 0, output);
  await machine.assertLoaded();
});

test('the command of the pruning unit removes what is too old, as the user of prune.env', async (t) => {
  const machine = await hostFor(t);
  assert.equal(
    (await machine.cron(`set -a; . /etc/ecompipe/ecompipe.env; ${unitLine('ecompipe-once', 'ExecStart')}`)).exitCode,
    0,
  );
  await machine.assertLoaded();
  const prune = (age: string): ReturnType<Host['cron']> =>
    machine.cron(
      `set -a; ${age}; . /etc/ecompipe/ecompipe.env; POSTGRES_USER=no_such_user; . /etc/ecompipe/prune.env; ${unitLine('ecompipe-prune', 'ExecStart')}`,
    );
  writeFileSync(machine.path('/etc/ecompipe/prune.env'), `POSTGRES_USER='${machine.database.user}'\n`);
  const kept = await prune(unitLine('ecompipe-prune', 'Environment').replace('90d', '9000d'));
  assert.equal(kept.exitCode, 0, kept.output);
  await machine.assertLoaded();
  await machine.database.query(`update events set event_time = now() - interval '91 days'`);
  const pruned = await prune(unitLine('ecompipe-prune', 'Environment'));
  assert.equal(pruned.exitCode, 0, pruned.output);
  assert.deepEqual(await machine.database.query('select count(*)::int from events'), [{ count: 0 }]);
});

for (const unit of units.filter((name) => name.endsWith('.service'))) {
  test(
    `${unit} is exposed to little, by the rating of systemd-analyze`,
    { skip: !hasSystemd && 'systemd-analyze is not installed' },
    () => {
      const { status, stdout } = spawnSync(
        'systemd-analyze',
        // In tenths.
        ['security', '--offline=true', '--no-pager', '--threshold=20', path.join(DIRECTORY, unit)],
        { encoding: 'utf8' },
      );
      assert.equal(status, 0, stdout);
    },
  );
}

test('the settings that cron needs are for root and the user of the job, whose state directory the recipe makes', async (t) => {
  if (!isRoot) {
    t.skip('only root can follow the recipe');
    return;
  }
  const machine = await hostFor(t);
  const { mode, uid, gid } = statSync(machine.path('/etc/ecompipe/ecompipe.env'));
  assert.deepEqual([(mode & 0o777).toString(8), uid, gid], ['640', 0, USER]);
  const readBy = (id: number): number | null =>
    spawnSync('cat', [machine.path('/etc/ecompipe/ecompipe.env')], { uid: id, gid: id }).status;
  assert.deepEqual([readBy(USER), readBy(1)], [0, 1]);
  assert.equal(statSync(machine.path('/var/lib/ecompipe')).uid, USER);
});

test('the lines of the crontab work as their user, say nothing, and stay away while another run goes on', async (t) => {
  const machine = await hostFor(t);
  const [load = '', check = ''] = cronCommands();
  const [, lock = ''] = /flock -n (\S+)/.exec(load) ?? [];
  const holder = spawn('flock', [machine.path(lock), 'sh', '-c', 'echo locked; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...AS_USER,
  });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  assert.deepEqual(await machine.cron(load), { exitCode: 1, output: '' });
  holder.stdin.end('\n');
  await once(holder, 'close');

  assert.deepEqual(await machine.cron(load), { exitCode: 0, output: '' });
  await machine.assertLoaded();
  assert.deepEqual(await machine.cron(check), { exitCode: 0, output: '' });
});

function unitLine(unit: string, key: string): string {
  const line = new RegExp(`^${key}=(.*)$`, 'm').exec(readFileSync(path.join(DIRECTORY, `${unit}.service`), 'utf8'));
  assert.ok(line?.[1], key);
  return line[1];
}

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
  /** Runs a line as the user of the jobs, with cron's environment and in the user's home. */
  readonly cron: (line: string) => Promise<{ exitCode: number | null; output: string }>;
  readonly assertLoaded: () => Promise<void>;
  readonly database: TestDatabase;
}

/**
 * A directory that stands for /, set up by the recipe for cron, with `ecompipe` on the PATH and one file to load. Who is not
 * root can be nobody else: then all belongs to the one who runs the test.
 */
async function hostFor(t: TestContext): Promise<Host> {
  const root = mkdtempSync(path.join(tmpdir(), 'ecompipe-host-'));
  atEnd(t, () => rmSync(root, { recursive: true, force: true }));
  chmodSync(root, 0o755);
  const database = await migratedDatabase();
  const there = (text: string): string => text.replaceAll(/(?<![\w.])\/(etc|srv|var\/lib)\//g, `${root}/$1/`);
  followRecipe(root, there);
  const settings = { ...environmentFile(), ...database.env, POSTGRES_SSLMODE: 'disable' };
  // As an editor does: the owner and the mode stay.
  writeFileSync(
    path.join(root, 'etc/ecompipe/ecompipe.env'),
    Object.entries(settings)
      .map(([name, value]) => `${name}='${there(value)}'\n`)
      .join(''),
  );
  // Where npm puts it under its usual prefix.
  const executable = path.join(root, 'usr/local/bin/ecompipe');
  mkdirSync(path.dirname(executable), { recursive: true });
  writeFileSync(executable, `#!/bin/sh\nexec "${process.execPath}" "${EXECUTABLE}" "$@"\n`);
  chmodSync(executable, 0o755);
  writeFileSync(path.join(root, 'srv/shop/processing/orders.csv'), FILE);
  if (isRoot) chownSync(path.join(root, 'srv/shop/processing/orders.csv'), USER, USER);
  const cron: Host['cron'] = async (line) => {
    const home = path.join(root, 'var/lib/ecompipe');
    const child = spawn('/bin/sh', ['-c', there(line)], {
      cwd: home,
      env: {
        PATH: cronPath().replaceAll('/usr/local/bin', `${root}/usr/local/bin`),
        SHELL: '/bin/sh',
        HOME: home,
        LOGNAME: 'ecompipe',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...AS_USER,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    await once(child, 'close');
    return { exitCode: child.exitCode, output };
  };
  return { path: there, cron, assertLoaded: () => assertLoaded(database, root), database };
}

/** What the recipe for cron in docs/deployment.md installs; npm and useradd have been, as the user is one that is there. */
function followRecipe(root: string, there: (text: string) => string): void {
  const block = documentBlocks('docs/deployment.md').find(({ text }) => text.includes('/etc/cron.d/'));
  assert.ok(block);
  const steps = block.text
    .split('\n')
    .filter((line) => line.startsWith('install '))
    .map((line) =>
      there(line).replaceAll(/ -([og]) (\w+)/g, (_, flag: string, name: string) =>
        isRoot ? ` -${flag} ${name === 'ecompipe' ? USER : name}` : '',
      ),
    );
  mkdirSync(path.join(root, 'etc/cron.d'), { recursive: true });
  for (const step of steps) {
    const { status, stderr } = spawnSync('sh', ['-c', step], { cwd: ROOT, encoding: 'utf8' });
    assert.equal(status, 0, `${step}: ${stderr}`);
  }
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
