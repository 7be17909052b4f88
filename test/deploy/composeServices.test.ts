import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { ROOT } from '../docs/markdown.js';
import { EXECUTABLE, run, start, type Running } from '../helpers/executable.js';
import { startTestServer, type TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { composeServices, imageEnvironment, type Service } from './composeFile.js';
import { atEnd } from '../helpers/atEnd.js';

/** By the .env of the stack that the compose file replaces, whose paths are not the image's. */
const services = composeServices({ PROCESSING_PATH: '/data/processing', CHECKPOINT_PATH: '/checkpoints' });

test('each service runs with its own command and environment, two generators at once, and stops cleanly', async (t) => {
  const database = await (await startTestServer()).createDatabase();
  const directory = volumes(t);
  const host = (name: string): HostService => onHost(services[name]!, database, directory);

  const migrate = host('migrate');
  assert.deepEqual(
    await run(t, migrate, ...migrate.command).then(({ exitCode, stderr }) => [exitCode, exitCode === 0 ? '' : stderr]),
    [0, ''],
  );

  const names = ['streamer', 'file-mover', 'dashboard', 'data-generator', 'data-generator'];
  const running = names.map((name) => start(t, host(name), ...host(name).command));
  await until(
    'each generator has a file in the table',
    async () =>
      (
        await database.query<{ runs: number }>(
          "select count(distinct left(name, 34))::int4 as runs from ecompipe.files where state = 'loaded'",
        )
      )[0]!.runs === 2,
    60_000,
  );
  for (const [index, name] of names.entries()) await assertHealthy(t, host(name), services[name]!, running[index]!);
  assert.deepEqual(readdirSync(path.join(directory, 'checkpoints')).sort(), ['owner-id', 'stream.json']);

  for (const [, prune = ''] of deploymentLines(/^docker-compose run --rm streamer (prune .*)$/gm)) {
    const { exitCode, stderr } = await run(t, host('streamer'), ...prune.split(' '));
    assert.equal(exitCode, 0, stderr);
  }

  for (const { child } of running) child.kill('SIGTERM');
  const ends = await Promise.all(running.map(({ end }) => end));
  assert.deepEqual(
    ends.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr)),
    names.map(() => 0),
  );
});

function deploymentLines(pattern: RegExp): RegExpExecArray[] {
  const lines = [...readFileSync(path.join(ROOT, 'docs/deployment.md'), 'utf8').matchAll(pattern)];
  assert.ok(lines.length > 0, String(pattern));
  return lines;
}

const canUnshare = spawnSync('unshare', ['--mount', 'setpriv', '--bounding-set=-all', 'true']).status === 0;

test(
  'with a root that is read-only and no capabilities, each service has all that it needs in its volumes',
  { skip: !canUnshare && 'mount namespaces are not to be had' },
  async () => {
    const database = await (await startTestServer()).createDatabase();
    const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-compose-'));
    const contained = (name: string, ...flags: string[]): void => {
      const { command, cwd, env } = onHost(services[name]!, database, directory);
      const { status, stderr } = spawnSync(
        'unshare',
        ['--mount', 'sh', '-euc', CONTAINED, 'sh', directory, cwd, process.execPath, EXECUTABLE, ...command, ...flags],
        { env: { ...env, PATH: process.env['PATH'] }, encoding: 'utf8' },
      );
      assert.equal(status, 0, `${name}: ${stderr}`);
    };
    try {
      for (const name of ['data', 'checkpoints']) mkdirSync(path.join(directory, name));
      contained('migrate');
      contained('data-generator', '--batches', '1');
      contained('file-mover', '--once', '--settle', '0');
      contained('streamer', '--once');
      assert.deepEqual(await database.query('select count(*)::int4 as rows from events'), [{ rows: 10 }]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);

/** Runs "$@" with no right but to write below $1: what read_only, cap_drop and no-new-privileges do to a container. */
const CONTAINED = `
  mount --bind "$1" "$1"
  mount -o remount,ro,bind /
  cd "$2"; shift 2
  exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"`;

interface HostService {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly command: readonly string[];
}

/** What differs on a host: where the database is, where the volumes are, and that all processes share the ports. */
function onHost({ command, environment }: Service, database: TestDatabase, directory: string): HostService {
  const onVolume = (text: string): string => text.replace(/^\/(data|checkpoints)(?=\/|$)/, `${directory}/$1`);
  const { POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER, POSTGRES_PASSWORD, ...rest } = {
    ...imageEnvironment(),
    ...environment,
  };
  const connects = POSTGRES_HOST !== undefined;
  if (connects)
    assert.deepEqual(
      [POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER, POSTGRES_PASSWORD],
      ['postgres', '5432', 'ecommerce', 'postgres', 'postgres'],
    );
  const env = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, onVolume(value)]));
  return {
    cwd: path.join(directory, 'data'),
    command: command.map((word) => (word === '8787' ? '0' : onVolume(word))),
    env: {
      ...env,
      ...(connects ? database.env : {}),
      ...('ECOMPIPE_METRICS_PORT' in env ? { ECOMPIPE_METRICS_PORT: '0' } : {}),
    },
  };
}

/** The container's own health check, as it would be run inside. */
async function assertHealthy(
  t: TestContext,
  service: HostService,
  { healthcheck }: Service,
  running: Running,
): Promise<void> {
  const [kind, ...command] = healthcheck!.test;
  assert.equal(kind, 'CMD');
  if (command[0] === 'node') {
    assert.equal(command[1], '/app/bin/ecompipe.js');
    assert.equal((await run(t, service, ...command.slice(2))).exitCode, 0);
    return;
  }
  const address = /http:\/\/[\d.]+:(\d+)\/metrics/.exec(running.output());
  assert.ok(address, running.output());
  const url = command.at(-1)!.replace(':9464', `:${address[1]}`);
  assert.equal((await fetch(url)).status, 200);
}

/** The volumes, with the directories that the image makes in them. */
function volumes(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-compose-'));
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }));
  for (const name of ['incoming', 'processing', 'archive', 'quarantine'])
    mkdirSync(path.join(directory, 'data', name), { recursive: true });
  mkdirSync(path.join(directory, 'checkpoints'));
  return directory;
}
