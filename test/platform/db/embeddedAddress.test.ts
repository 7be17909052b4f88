import assert from 'node:assert/strict';
import { readdir, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { openCluster } from '../../../src/platform/db/embedded/cluster.js';
import { attachEmbeddedServer } from '../../../src/platform/db/embedded/index.js';
import { openSession } from '../../../src/platform/db/embedded/session.js';
import { withDatabase } from '../../../src/platform/db/target.js';
import { silentLogger } from '../../../src/platform/log.js';
import { run, start } from '../../helpers/executable.js';
import { createdProject } from '../../helpers/embeddedProject.js';
import { freePort } from '../../helpers/ports.js';
import { until } from '../../helpers/until.js';

const NOT_CONFIGURED = {
  databaseUrl: undefined,
  host: undefined,
  port: undefined,
  database: undefined,
  user: undefined,
  password: undefined,
  sslMode: undefined,
  sslRootCert: undefined,
};

interface Impostor {
  readonly port: number;
  readonly connections: () => number;
  readonly heard: () => string;
}

/** Somebody else's program on a port of loopback: asks whoever connects for the password in clear text. */
async function startImpostor(t: TestContext, port: number): Promise<Impostor> {
  const heard: Buffer[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    // AuthenticationCleartextPassword (PostgreSQL manual 55.7).
    socket.once('data', () => socket.write(Buffer.from([82, 0, 0, 0, 8, 0, 0, 0, 3])));
    socket.on('data', (bytes) => heard.push(bytes)).on('error', () => undefined);
  });
  await new Promise<void>((done, failed) => server.once('error', failed).listen(port, '127.0.0.1', done));
  t.after(() => server.close());
  return { port, connections: () => connections, heard: () => Buffer.concat(heard).toString('latin1') };
}

test('whoever took the port of a dead embedded server is not handed its password by who wants a lease', async (t) => {
  const directory = await createdProject(t);
  const cluster = await openCluster(directory);
  assert.ok(cluster !== undefined);
  const { port, heard } = await startImpostor(t, await freePort());
  const server = { pid: process.pid, startedAtSec: 0, port, status: 'ready' } as const;
  await assert.rejects(
    openSession(cluster, server, new AbortController().signal, () => Promise.resolve()),
    /require_auth excludes/,
  );
  assert.match(heard(), /ecompipe/);
  assert.ok(!heard().includes(cluster.password));
});

test('a command follows the embedded server to its new port, and never goes to whoever has the old one', async (t) => {
  const directory = await createdProject(t);
  const context = { log: silentLogger, stop: new AbortController().signal };
  await withDatabase({ ...NOT_CONFIGURED, embeddedDir: directory, retryForMs: 60_000 }, context, async (database) => {
    const watcher = await attachEmbeddedServer({ directory });
    const { server } = watcher;
    // The port that it is to come up on: its last one is about to be another's.
    await writeFile(path.join(directory, 'postgres', 'port'), `${await freePort()}\n`);
    process.kill(server.pid, 'SIGKILL');
    await until('another server runs', () => watcher.server.pid !== server.pid);
    const impostor = await startImpostor(t, server.port);
    const connection = await database.connect();
    const { rows } = await connection.client.query<{ port: number }>('select inet_server_port() as port');
    assert.deepEqual(rows, [{ port: watcher.server.port }]);
    assert.equal(impostor.connections(), 0);
    await connection.close();
    await watcher.release();
  });
});

test('db stop --force under a stream ends it with exit code 69, and says so instead of sending to POSTGRES_HOST', async (t) => {
  const directory = await createdProject(t);
  const cwd = path.dirname(directory);
  await run(t, { cwd }, 'generate', '--events', '5', '--batch-size', '5', '--interval', '0', '--output-dir', 'made');
  const stream = start(t, { cwd }, 'stream');
  await stream.said('loading data/processing');
  const stopped = await run(t, { cwd }, 'db', 'stop', '--force');
  assert.equal(stopped.exitCode, 0, stopped.stderr);
  const [name] = (await readdir(path.join(cwd, 'made'))).filter((entry) => entry.endsWith('.csv'));
  assert.ok(name !== undefined);
  await rename(path.join(cwd, 'made', name), path.join(cwd, 'data/processing', name));
  const { exitCode, stderr } = await stream.end;
  assert.equal(exitCode, 69, stderr);
  assert.match(stderr, /was stopped by `ecompipe db stop --force`/);
  assert.doesNotMatch(stderr, /POSTGRES_HOST|ECONNREFUSED/);
});
