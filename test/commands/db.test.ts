import assert from 'node:assert/strict';
import { execFile, type ExecFileException } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { attachEmbeddedServer, type EmbeddedStatus } from '../../src/platform/db/embedded/index.js';
import { NEWEST_KNOWN } from '../../src/platform/db/embedded/releases.js';
import { createdProject, embeddedProject, isAlive } from '../helpers/embeddedProject.js';
import { run, start } from '../helpers/executable.js';
import { startTestServer } from '../helpers/postgres.js';

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the executable from its sources, without any database configured. */
async function ecompipe(directory: string, ...args: string[]): Promise<Ended> {
  const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
  const env = { PATH: process.env['PATH'], ECOMPIPE_EMBEDDED_DIR: directory };
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), cli, ...args],
      { cwd: path.dirname(directory), env },
      (error: ExecFileException | null, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr }),
    );
  });
}

test('db url prints one URL, with the password only when that is asked for, and on stderr how to stop the server', async (t) => {
  const directory = await embeddedProject(t);
  const bare = await ecompipe(directory, 'db', 'url');
  const passfile = /^postgresql:\/\/ecompipe@127\.0\.0\.1:\d+\/ecompipe\?passfile=(\S+)\n$/.exec(bare.stdout)?.[1];
  assert.ok(passfile !== undefined, bare.stdout);
  assert.equal((await stat(decodeURIComponent(passfile))).mode & 0o777, 0o600);
  const byUrl = await run(
    t,
    { cwd: path.dirname(directory), env: { DATABASE_URL: bare.stdout.trim() } },
    'migrate',
    '--status',
  );
  assert.match(byUrl.stdout, /pending/, 'a command that is given the URL finds the password');
  const url = await ecompipe(directory, 'db', 'url', '--with-password');
  const password = /^postgresql:\/\/ecompipe:([\w-]+)@127\.0\.0\.1:\d+\/ecompipe\n$/.exec(url.stdout)?.[1];
  assert.ok(password !== undefined, url.stdout);
  assert.match(url.stderr, /ecompipe db stop/);
  const start = await ecompipe(directory, 'db', 'start', '--log-level', 'debug');
  for (const said of [url.stderr, start.stdout, start.stderr]) assert.ok(!said.includes(password));
  assert.deepEqual(JSON.parse((await ecompipe(directory, 'db', 'stop', '--json')).stdout), { stopped: true });
  assert.deepEqual(JSON.parse((await ecompipe(directory, 'db', 'stop', '--json')).stdout), { stopped: false });
});

test('db with an unknown action is a usage error', async (t) => {
  const { code, stderr } = await ecompipe(await embeddedProject(t), 'db', 'restart');
  assert.equal(code, 2);
  assert.match(stderr, /expected psql, .*start or stop/);
});

/** A directory with a psql that prints its arguments, its command line as others see it, and some of its environment. */
async function fakePsql(t: TestContext): Promise<string> {
  const bin = await mkdtemp(path.join(os.tmpdir(), 'ecompipe-bin-'));
  t.after(() => rm(bin, { recursive: true, force: true }));
  const script = `#!/bin/sh
printf 'arguments: %s\n' "$*"
tr '\\0' ' ' < /proc/$$/cmdline; echo
env | sort
exit 7
`;
  await writeFile(path.join(bin, 'psql'), script, { mode: 0o755 });
  return bin;
}

test('db psql has the password in its environment and on no command line, and ends with the exit code of psql', async (t) => {
  const directory = await createdProject(t);
  const bin = await fakePsql(t);
  const password = (await readFile(path.join(directory, 'postgres', 'password'), 'utf8')).trim();
  const env = { PATH: `${bin}:${process.env['PATH']}`, PGSSLMODE: 'verify-full', PGOPTIONS: '-c work_mem=1MB' };
  const cwd = path.dirname(directory);
  const { exitCode, stdout, stderr } = await run(t, { cwd, env }, 'db', 'psql', '--', '-c', 'select 1');
  assert.equal(exitCode, 7, stderr);
  const lines = stdout.split('\n');
  assert.ok(lines.includes('arguments: -c select 1'), stdout);
  for (const expected of [
    `PGPASSWORD=${password}`,
    'PGREQUIREAUTH=scram-sha-256',
    'PGUSER=ecompipe',
    'PGSSLMODE=disable',
  ])
    assert.ok(lines.includes(expected), `${expected} in ${stdout}`);
  assert.ok(!stdout.includes('PGOPTIONS'), 'what is meant for another server does not reach it');
  assert.deepEqual(
    lines.filter((line) => line.includes(password)),
    [`PGPASSWORD=${password}`],
  );
});

test('db psql runs the psql of this machine on the embedded and on a configured database', async (t) => {
  const directory = await createdProject(t);
  const cwd = path.dirname(directory);
  const psql = ['db', 'psql', '--', '-Atc', 'select current_user, current_database()'];
  assert.equal((await run(t, { cwd }, ...psql)).stdout, 'ecompipe|ecompipe\n');
  const database = await (await startTestServer()).createDatabase();
  const configured = await run(t, { cwd, env: { DATABASE_URL: database.url } }, ...psql);
  assert.equal(configured.stdout, `${database.user}|${database.database}\n`, configured.stderr);
  const wrong = await run(t, { cwd, env: { DATABASE_URL: database.url } }, 'db', 'psql', '--', '-c', 'select nonsense');
  assert.equal(wrong.exitCode, 1, wrong.stderr);
});

test('db psql without a psql says what to install', async (t) => {
  const directory = await createdProject(t);
  const { exitCode, stderr } = await run(
    t,
    { cwd: path.dirname(directory), env: { PATH: '/nonexistent' } },
    'db',
    'psql',
  );
  assert.equal(exitCode, 69);
  assert.match(stderr, /there is no psql on PATH/);
  assert.match(stderr, /hint: install/);
});

test('Ctrl-C in db psql is left to psql: it ends with what psql makes of it', async (t) => {
  const directory = await createdProject(t);
  const bin = await fakePsql(t);
  await writeFile(
    path.join(bin, 'psql'),
    '#!/bin/sh\ntrap "exit 5" INT\necho running >&2\nwhile :; do read -r _ < "$0.fifo" || exit 6; done\n',
  );
  await promisify(execFile)('mkfifo', [path.join(bin, 'psql.fifo')]);
  const env = { PATH: `${bin}:${process.env['PATH']}` };
  const running = start(t, { cwd: path.dirname(directory), env }, 'db', 'psql');
  await running.said('running');
  running.child.kill('SIGINT');
  running.child.kill('SIGINT');
  // Both were sent before psql ends by its own.
  const [psql] = (await promisify(execFile)('pgrep', ['-P', String(running.child.pid), '-f', bin])).stdout.split('\n');
  process.kill(Number(psql), 'SIGINT');
  assert.equal((await running.end).exitCode, 5, running.output());
});

test('db status says what runs and what is installed, and starts nothing', async (t) => {
  const directory = await createdProject(t);
  const cwd = path.dirname(directory);
  const [installed] = Object.values(NEWEST_KNOWN);
  const off = await run(t, { cwd }, 'db', 'status');
  assert.match(off.stdout, /^server +not running$/m);
  assert.match(off.stdout, new RegExp(`^installed +PostgreSQL ${installed}$`, 'm'));
  const lease = await attachEmbeddedServer({ directory });
  const on = JSON.parse((await run(t, { cwd }, 'db', 'status', '--json')).stdout) as EmbeddedStatus;
  await lease.release();
  const { pid, port } = lease.server;
  assert.deepEqual(on.running, { pid, port, version: installed, kept: false, usedBy: [process.pid] });
  assert.deepEqual([on.data, on.installed, on.advice], ['18', installed, []]);
  assert.ok(!(await isAlive(pid)));
  const none = await run(t, { cwd, env: { ECOMPIPE_EMBEDDED_DIR: 'none' } }, 'db', 'status');
  assert.match(none.stdout, /^data +none yet$/m);
  assert.deepEqual(await readdir(cwd), ['.ecompipe']);
});

test('data of another major version is refused by its name, and db status says the same', async (t) => {
  const directory = await createdProject(t);
  const cwd = path.dirname(directory);
  await writeFile(path.join(directory, 'postgres', 'data', 'PG_VERSION'), '17\n');
  const refused = await run(t, { cwd }, 'migrate');
  assert.equal(refused.exitCode, 69);
  assert.match(refused.stderr, /was created by PostgreSQL 17, the embedded server is 18\.\d+\n/);
  assert.match(refused.stderr, /db dump FILE.*db restore FILE/);
  const { stdout, exitCode } = await run(t, { cwd }, 'db', 'status');
  assert.equal(exitCode, 0);
  assert.match(stdout, /^to do +the data is PostgreSQL 17's.*db restore FILE/m);
});
