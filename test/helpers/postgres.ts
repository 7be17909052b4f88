import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { chown, mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { asAccount, serverAccount, type ServerAccount } from '../../src/platform/db/embedded/account.js';
import { placeForRoot } from '../../src/platform/db/embedded/cluster.js';
import { usableServerFiles } from '../../src/platform/db/embedded/staging.js';
import { silentLogger } from '../../src/platform/log.js';
import { freePort } from './ports.js';

export const TEST_PG_VERSIONS = ['18', '15'] as const;
export type TestPgVersion = (typeof TEST_PG_VERSIONS)[number];

export interface TestConnection {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
}

export interface TestDatabase extends TestConnection {
  /** `postgresql://…`, for DATABASE_URL and psql. */
  readonly url: string;
  /** POSTGRES_* for a spawned executable. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs one statement on a connection of its own and returns its rows. */
  readonly query: <Row extends pg.QueryResultRow>(sql: string, values?: unknown[]) => Promise<Row[]>;
  /** A connected client; ended by `drop` at the latest. */
  readonly connect: () => Promise<pg.Client>;
  /** Ends what `connect` gave and drops the database. Not calling it is fine: the server goes with the process. */
  readonly drop: () => Promise<void>;
}

export interface TestServer {
  readonly version: TestPgVersion;
  readonly port: number;
  readonly dataDirectory: string;
  /** Creates an empty database, or a copy of `template`. */
  readonly createDatabase: (options?: { template?: string }) => Promise<TestDatabase>;
  /**
   * Prepares (once a process) a database that others are copied from: `createTemplate('migrated', migrate)`.
   * `prepare` must close its connections. Returns the name for `createDatabase({ template })`.
   */
  readonly createTemplate: (name: string, prepare: (database: TestDatabase) => Promise<void>) => Promise<string>;
  /** Ends the server before the process ends; seldom needed. */
  readonly stop: () => Promise<void>;
}

export const USER = 'tester';
export const PASSWORD = 'test password';
const READY_DEADLINE_MS = 30_000;

/** Durability off, the rest near the default: a test's data needs to outlive crashes of clients, not of this server. */
export const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_wal_size: '2GB',
  max_connections: '60',
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  log_min_messages: 'log',
  log_checkpoints: 'off',
  autovacuum_naptime: '10s',
};

/**
 * Owns the server for as long as its standard input stays open, that is, as long as the test process lives: however that
 * ends, SIGKILL included, the pipe closes, `read` returns, and server and data go. A file `keep` saves the data.
 */
const WATCHDOG = `
template=$1; home=$2; shift 2
cp -a "$template" "$home/data" || exit 1
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( read -r _ <&3; if [ -e "$home/keep" ]; then kill -INT $server; else kill -QUIT $server; fi ) 2>/dev/null &
watcher=$!
wait $server
status=$?
kill $watcher 2>/dev/null
[ -e "$home/keep" ] || rm -rf "$home"
exit $status
`;

let shared: Promise<TestServer> | undefined;

/**
 * The PostgreSQL server of this test process: private, on a free loopback port, started at the first call (about 0.2 s;
 * the first on a machine also runs initdb) and gone with the process. Data is kept when a test fails.
 * @param options.version 18 (embedded binaries) or 15 (Debian's, or ECOMPIPE_TEST_PG15_BIN); default ECOMPIPE_TEST_PG, else 18.
 */
export function startTestServer(options: { version?: TestPgVersion } = {}): Promise<TestServer> {
  return (shared ??= start(options.version ?? versionFromEnvironment()));
}

export function versionFromEnvironment(): TestPgVersion {
  const wanted = process.env['ECOMPIPE_TEST_PG'] ?? '18';
  const version = TEST_PG_VERSIONS.find((candidate) => candidate === wanted);
  if (version === undefined)
    throw new Error(`ECOMPIPE_TEST_PG=${wanted}: expected one of ${TEST_PG_VERSIONS.join(', ')}`);
  return version;
}

export async function binDirectory(version: TestPgVersion, account: ServerAccount | undefined): Promise<string> {
  if (version === '15') return process.env['ECOMPIPE_TEST_PG15_BIN'] ?? '/usr/lib/postgresql/15/bin';
  const place = (account && (await placeForRoot(account))) ?? os.tmpdir();
  const files = await usableServerFiles(place, account, silentLogger);
  return path.join(files.root, 'bin');
}

async function start(version: TestPgVersion): Promise<TestServer> {
  const account = await serverAccount();
  const bin = await binDirectory(version, account);
  const template = await templateCluster(bin, version, account);
  for (let attempt = 1; ; attempt++) {
    const home = await temporaryDirectory(`ecompipe-test-pg${version}-`, account);
    const port = await freePort();
    try {
      return await launch({ version, bin, account, template, home, port });
    } catch (error) {
      // Between freePort and bind somebody who is no test may have taken the port.
      if (attempt === 5) throw error;
    }
  }
}

/** One initdb per machine, server version and account; every start copies it, which is ten times as fast. */
export async function templateCluster(
  bin: string,
  version: TestPgVersion,
  account: ServerAccount | undefined,
): Promise<string> {
  const postgres = path.join(bin, 'postgres');
  const { mtimeMs, size } = await stat(postgres).catch(() => {
    throw new Error(`no PostgreSQL ${version} server at ${postgres}`);
  });
  const uid = account?.uid ?? os.userInfo().uid;
  const key = createHash('sha256')
    .update(JSON.stringify([postgres, mtimeMs, size, uid]))
    .digest('hex')
    .slice(0, 12);
  const template = path.join(os.tmpdir(), `ecompipe-test-pg${version}-template-${uid}-${key}`);
  const existing = await stat(template).catch(() => undefined);
  if (existing !== undefined) {
    if (existing.uid !== uid) throw new Error(`${template} belongs to somebody else`);
    return template;
  }
  const home = await temporaryDirectory(`ecompipe-test-initdb-`, account);
  await writeFile(path.join(home, 'password'), PASSWORD, { mode: 0o644 });
  const locale =
    version === '15' ? ['--locale=C.UTF-8'] : ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  await run(
    path.join(bin, 'initdb'),
    [
      '-D',
      path.join(home, 'data'),
      '-U',
      USER,
      '-A',
      'scram-sha-256',
      '--pwfile',
      path.join(home, 'password'),
      '-E',
      'UTF8',
      '--no-sync',
      ...locale,
    ],
    account,
  );
  // Whoever comes second finds the place taken by an equal cluster.
  await rename(path.join(home, 'data'), template).catch(() => undefined);
  await rm(home, { recursive: true, force: true });
  return template;
}

export async function temporaryDirectory(prefix: string, account: ServerAccount | undefined): Promise<string> {
  const directory = await mkdtemp(path.join(os.tmpdir(), prefix));
  if (account !== undefined) await chown(directory, account.uid, account.gid);
  return directory;
}

interface Launch {
  readonly version: TestPgVersion;
  readonly bin: string;
  readonly account: ServerAccount | undefined;
  readonly template: string;
  readonly home: string;
  readonly port: number;
}

async function launch({ version, bin, account, template, home, port }: Launch): Promise<TestServer> {
  const log = await open(path.join(home, 'server.log'), 'a');
  const settings = Object.entries({ ...SETTINGS, port }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const data = path.join(home, 'data');
  const watchdog = spawn(
    '/bin/sh',
    ['-c', WATCHDOG, 'watchdog', template, home, path.join(bin, 'postgres'), '-D', data, ...settings],
    {
      stdio: ['pipe', log.fd, log.fd],
      // Out of reach of Ctrl-C in the terminal, so that tests can still use the server while they end.
      detached: true,
      cwd: home,
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      ...asAccount(account),
    },
  );
  await log.close();
  const exited = new Promise<void>((resolve) => watchdog.once('exit', () => resolve()));
  await untilReady(data, watchdog);
  watchdog.unref();
  (watchdog.stdin as unknown as { unref: () => void }).unref();
  process.once('exit', (code) => {
    if (code === 0 || !existsSync(home)) return;
    writeFileSync(path.join(home, 'keep'), '');
    process.stderr.write(`kept the databases of this test process: ${data} (PostgreSQL ${version})\n`);
  });
  const stop = async (): Promise<void> => {
    watchdog.ref();
    watchdog.stdin?.end();
    await exited;
  };
  return {
    version,
    port,
    dataDirectory: data,
    stop,
    ...databases({ host: '127.0.0.1', port, user: USER, password: PASSWORD }),
  };
}

/** Waits for `ready` in the last line of postmaster.pid (src/include/utils/pidfile.h). */
async function untilReady(
  data: string,
  watchdog: { exitCode: number | null; signalCode: string | null },
): Promise<void> {
  const deadline = Date.now() + READY_DEADLINE_MS;
  for (;;) {
    const pidFile = await readFile(path.join(data, 'postmaster.pid'), 'utf8').catch(() => '');
    if (pidFile.split('\n')[7]?.trim() === 'ready') return;
    if (watchdog.exitCode !== null || watchdog.signalCode !== null)
      throw new Error(`the test server in ${data} ended before it was ready`);
    if (Date.now() > deadline) throw new Error(`the test server in ${data} is not ready after ${READY_DEADLINE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function databases(
  server: Omit<TestConnection, 'database'>,
): Pick<TestServer, 'createDatabase' | 'createTemplate'> {
  const templates = new Map<string, Promise<string>>();
  let created = 0;

  const createDatabase = async ({ template }: { template?: string } = {}): Promise<TestDatabase> => {
    const name = `test_${++created}`;
    await execute(
      server,
      'postgres',
      `create database ${name}${template === undefined ? '' : ` template ${pg.escapeIdentifier(template)}`}`,
    );
    return handle({ ...server, database: name });
  };
  const prepareTemplate = async (name: string, prepare: (database: TestDatabase) => Promise<void>): Promise<string> => {
    await execute(server, 'postgres', `create database ${pg.escapeIdentifier(name)}`);
    await prepare(handle({ ...server, database: name }));
    return name;
  };
  const createTemplate = (name: string, prepare: (database: TestDatabase) => Promise<void>): Promise<string> => {
    const prepared = templates.get(name) ?? prepareTemplate(name, prepare);
    templates.set(name, prepared);
    return prepared;
  };
  return { createDatabase, createTemplate };
}

function handle(connection: TestConnection): TestDatabase {
  const { host, port, database, user, password } = connection;
  const clients = new Set<pg.Client>();
  return {
    ...connection,
    url: `postgresql://${user}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(database)}`,
    env: {
      POSTGRES_HOST: host,
      POSTGRES_PORT: String(port),
      POSTGRES_DB: database,
      POSTGRES_USER: user,
      POSTGRES_PASSWORD: password,
    },
    query: async <Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []) =>
      (await execute<Row>(connection, database, sql, values)).rows,
    connect: async () => {
      const client = new pg.Client(connection);
      clients.add(client);
      await client.connect();
      return client;
    },
    drop: async () => {
      await Promise.all([...clients].map((client) => client.end().catch(() => undefined)));
      await execute(connection, 'postgres', `drop database if exists ${pg.escapeIdentifier(database)} with (force)`);
    },
  };
}

async function execute<Row extends pg.QueryResultRow>(
  server: Omit<TestConnection, 'database'>,
  database: string,
  sql: string,
  values: unknown[] = [],
): Promise<pg.QueryResult<Row>> {
  const client = new pg.Client({ ...server, database });
  await client.connect();
  try {
    return await client.query<Row>(sql, values);
  } finally {
    await client.end();
  }
}

export async function run(command: string, args: string[], account: ServerAccount | undefined): Promise<void> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: os.tmpdir(),
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    ...asAccount(account),
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  if (code !== 0) throw new Error(`${command} ended with code ${code}: ${stderr}`);
}
