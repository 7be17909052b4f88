import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { ROOT } from '../docs/guide.js';
import { run, start, type Running } from '../helpers/executable.js';
import { startTestServer, type TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { composeServices, imageEnvironment, type Service } from './composeFile.js';

const client = ['docker-compose', '/usr/bin/docker-compose'].find((name) => spawnSync(name, ['version']).status === 0);

test(
  'the compose client accepts the file, with every profile',
  { skip: client === undefined && 'docker-compose is not installed' },
  () => {
    const { status, stderr, stdout } = spawnSync(
      client!,
      ['--profile', 'observability', '--profile', 'spark', 'config', '--services'],
      { cwd: ROOT, encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(stdout.trim().split('\n').sort(), Object.keys(composeServices()).sort());
  },
);

test('each service runs with its own command and environment, and stops cleanly', async (t) => {
  const services = composeServices();
  const database = await (await startTestServer()).createDatabase();
  const directory = dataDirectory(t);
  const host = (name: string): HostService => onHost(services[name]!, database, directory);

  const migrate = host('migrate');
  assert.deepEqual(
    await run(t, migrate, ...migrate.command).then(({ exitCode, stderr }) => [exitCode, exitCode === 0 ? '' : stderr]),
    [0, ''],
  );

  const running: Running[] = [];
  for (const name of ['streamer', 'mover', 'generator', 'generator']) {
    const service = host(name);
    running.push(start(t, service, ...service.command));
  }
  await until(
    'each generator has a file in the table',
    async () =>
      (
        await database.query<{ files: number }>(
          "select count(*)::int4 as files from ecompipe.files where state = 'loaded'",
        )
      )[0]!.files >= 2,
    60_000,
  );
  for (const [index, name] of (['streamer', 'mover', 'generator'] as const).entries())
    await assertHealthy(t, host(name), services[name]!, running[index]!);

  for (const { child } of running) child.kill('SIGTERM');
  const ends = await Promise.all(running.map(({ end }) => end));
  assert.deepEqual(
    ends.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr)),
    [0, 0, 0, 0],
  );
});

interface HostService {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly command: readonly string[];
}

/** What differs on a host: where the database is, where /data is, and that all processes share the ports. */
function onHost({ command, environment }: Service, database: TestDatabase, directory: string): HostService {
  const image = Object.entries(imageEnvironment()).map(([name, value]) => [name, value.replace('/data', directory)]);
  const {
    POSTGRES_HOST,
    POSTGRES_PORT,
    POSTGRES_DB,
    POSTGRES_USER,
    POSTGRES_PASSWORD,
    ECOMPIPE_METRICS_PORT,
    ...rest
  } = environment;
  assert.deepEqual(
    [POSTGRES_HOST, POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER, POSTGRES_PASSWORD, ECOMPIPE_METRICS_PORT],
    ['postgres', '5432', 'shop', 'shop', 'shop', '9464'],
  );
  return {
    cwd: directory,
    command,
    env: {
      ...(Object.fromEntries(image) as Record<string, string>),
      ...rest,
      ...database.env,
      ECOMPIPE_METRICS_PORT: '0',
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

function dataDirectory(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-compose-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const name of ['incoming', 'processing', 'archive', 'quarantine', 'checkpoints'])
    mkdirSync(path.join(directory, name));
  return directory;
}
