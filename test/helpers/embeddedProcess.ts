import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { EmbeddedConnection } from '../../src/platform/db/embedded/index.js';

/** A process that holds a lease on an embedded server, as a command does. */
export interface EmbeddedProcess {
  readonly child: ChildProcess;
  readonly serverPid: number;
  readonly connection: EmbeddedConnection;
  /** Releases the lease and ends; the exit code. */
  readonly leave: () => Promise<number | null>;
  readonly kill: (signal: NodeJS.Signals) => Promise<void>;
}

const SCRIPT = `
const { attachEmbeddedServer } = await import(process.argv[1]);
const lease = await attachEmbeddedServer({ directory: process.argv[2] });
process.stdout.write(JSON.stringify({ serverPid: lease.server.pid, connection: lease.connection }));
process.stdin.once('end', async () => { await lease.release(); }).resume();
`;

/**
 * Starts such a process without waiting for its lease.
 * @param wrapper a command, with its arguments, that runs it, such as `unshare`.
 */
export function spawnEmbedded(directory: string, wrapper: readonly string[] = []): ChildProcess {
  const module = new URL('../../src/platform/db/embedded/index.ts', import.meta.url).href;
  const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', SCRIPT, module, directory];
  // A process group of its own, as a terminal gives to a command.
  const [command, ...rest] = [...wrapper, process.execPath, ...args] as [string, ...string[]];
  return spawn(command, rest, {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
}

/** Starts a process and waits until it has its lease. */
export async function startEmbeddedProcess(
  directory: string,
  wrapper: readonly string[] = [],
): Promise<EmbeddedProcess> {
  const child = spawnEmbedded(directory, wrapper);
  const exited = once(child, 'exit') as Promise<[number | null]>;
  const line = await Promise.race([
    once(child.stdout!, 'data') as Promise<[Buffer]>,
    exited.then(([code]) => Promise.reject(new Error(`ended with code ${code}`))),
  ]);
  const { serverPid, connection } = JSON.parse(line[0].toString()) as Pick<EmbeddedProcess, 'serverPid' | 'connection'>;
  return {
    child,
    serverPid,
    connection,
    leave: async () => {
      child.stdin!.end();
      return (await exited)[0];
    },
    kill: async (signal) => {
      process.kill(-child.pid!, signal);
      await exited;
    },
  };
}
