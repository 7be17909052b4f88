import { spawn, type ChildProcess } from 'node:child_process';
import { open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { asAccount, serverAccount, type ServerAccount } from '../../src/platform/db/embedded/account.js';
import {
  binDirectory,
  databases,
  PASSWORD,
  run,
  SETTINGS,
  templateCluster,
  temporaryDirectory,
  USER,
  versionFromEnvironment,
  type TestServer,
} from './postgres.js';
import { freePort } from './ports.js';
import { removeAtExit } from './removeAtExit.js';
import { until } from './until.js';

/** How a server ends: PostgreSQL's three shutdown modes (its manual, 18.5), or a SIGKILL of the postmaster. */
const SHUTDOWNS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT', killed: 'SIGKILL' } as const;
export type Shutdown = keyof typeof SHUTDOWNS;

/** A commit that was reported must survive all of these, so unlike in other tests it waits for the write. */
const DURABLE = { ...SETTINGS, synchronous_commit: 'on' };
const START_DEADLINE_MS = 60_000;

/** Ends the server together with the process that owns it: however that ends, its end of the pipe closes. */
const WATCHDOG = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( read -r _ <&3; kill -QUIT $server ) 2>/dev/null &
watcher=$!
wait $server
kill $watcher 2>/dev/null
`;

/** A private PostgreSQL whose port and data outlive its stops and crashes. */
export interface RestartableServer extends Pick<TestServer, 'createDatabase' | 'createTemplate'> {
  readonly port: number;
  readonly dataDirectory: string;
  /** The account that it runs under; undefined: our own. */
  readonly account: ServerAccount | undefined;
  /** Begins a shutdown; resolves when the postmaster is gone, which for `smart` is when its last client has left. */
  readonly stop: (how: Shutdown) => Promise<void>;
  /** Starts it again; after a crash that takes as long as its recovery. */
  readonly start: () => Promise<void>;
  /** Ends it for good and removes its data. */
  readonly remove: () => Promise<void>;
}

/** Creates and starts one. @param settings change those of the other test servers. */
export async function startRestartableServer(
  settings: Readonly<Record<string, string>> = {},
): Promise<RestartableServer> {
  const account = await serverAccount();
  const version = versionFromEnvironment();
  const bin = await binDirectory(version, account);
  const home = await temporaryDirectory(`ecompipe-test-restartable-pg${version}-`, account);
  removeAtExit(home);
  const data = path.join(home, 'data');
  await run('cp', ['-a', await templateCluster(bin, version, account), data], account);
  const port = await freePort();
  const options = Object.entries({ ...DURABLE, ...settings, port }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  let watchdog: ChildProcess | undefined;

  const launch = async (): Promise<ChildProcess> => {
    const log = await open(path.join(home, 'server.log'), 'a');
    const child = spawn('/bin/sh', ['-c', WATCHDOG, 'watchdog', path.join(bin, 'postgres'), '-D', data, ...options], {
      stdio: ['pipe', log.fd, log.fd],
      detached: true,
      cwd: home,
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      ...asAccount(account),
    });
    await log.close();
    child.unref();
    (child.stdin as unknown as { unref: () => void }).unref();
    return child;
  };
  const start = async (): Promise<void> => {
    // Backends of a killed postmaster may still be ending; as long as one lives, PostgreSQL refuses to start.
    await until(
      'the server answers',
      async () => {
        if (watchdog === undefined || hasEnded(watchdog)) watchdog = await launch();
        return await answers(port);
      },
      START_DEADLINE_MS,
    );
  };
  const ended = async (): Promise<void> => {
    const child = watchdog;
    if (child === undefined || hasEnded(child)) return;
    child.ref();
    await new Promise((resolve) => child.once('exit', resolve));
  };
  const stop = async (how: Shutdown): Promise<void> => {
    const [postmaster] = (await readFile(path.join(data, 'postmaster.pid'), 'utf8')).split('\n');
    process.kill(Number(postmaster), SHUTDOWNS[how]);
    await ended();
  };
  const remove = async (): Promise<void> => {
    watchdog?.stdin?.end();
    await ended();
    await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  await start();
  return {
    port,
    dataDirectory: data,
    account,
    stop,
    start,
    remove,
    ...databases({ host: '127.0.0.1', port, user: USER, password: PASSWORD }),
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Whether it takes connections; one that says "too many" answers too. */
async function answers(port: number): Promise<boolean> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: USER, password: PASSWORD, database: 'postgres' });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch (error) {
    return error instanceof pg.DatabaseError && error.code === '53300';
  } finally {
    await client.end().catch(() => undefined);
  }
}
