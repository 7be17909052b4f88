import { statfs } from 'node:fs/promises';
import os from 'node:os';

const MIB = 2 ** 20;

/** What a server is sized to. */
export interface MachineSize {
  readonly memoryBytes: number;
  readonly freeDiskBytes: number;
}

/** Memory (a container's limit counts) and the free disk space below `directory`. */
export async function measureMachine(directory: string): Promise<MachineSize> {
  const limit = process.constrainedMemory();
  // Without a limit, Node answers 0 or a number larger than any machine.
  const memoryBytes = limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
  const disk = await statfs(directory);
  return { memoryBytes, freeDiskBytes: disk.bavail * disk.bsize };
}

/**
 * The server's settings, passed on its command line so that they fit the machine at every start. Durability (fsync,
 * full_page_writes, synchronous_commit) stays at its default, on: the exactly-once promise stands on it.
 */
export function serverSettings(machine: MachineSize, port: number): Readonly<Record<string, string>> {
  // An eighth, not the usual quarter: on a laptop the server is a guest.
  const sharedBuffersMiB = clamp(machine.memoryBytes / 8 / MIB, 32, 1024);
  // Full-page images after a checkpoint are the main cost of a bulk load: few checkpoints, within what the disk can spare.
  const maxWalMiB = clamp(machine.freeDiskBytes / 10 / MIB, 256, 4096);
  return {
    cluster_name: 'ecompipe',
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '50',
    shared_buffers: `${sharedBuffersMiB}MB`,
    effective_cache_size: `${clamp(machine.memoryBytes / 2 / MIB, 64, 65_536)}MB`,
    work_mem: `${clamp(machine.memoryBytes / 256 / MIB, 4, 64)}MB`,
    maintenance_work_mem: `${clamp(machine.memoryBytes / 32 / MIB, 32, 512)}MB`,
    wal_buffers: '16MB',
    max_wal_size: `${maxWalMiB}MB`,
    checkpoint_timeout: '15min',
    // Vacuum keeps pace with a load on the machine's own disk instead of pausing for a shared one.
    autovacuum_vacuum_cost_limit: '2000',
    jit: 'off',
    // Rejected rows are the loader's business: the server's log keeps its life story, not the users' data.
    log_min_messages: 'log',
    log_checkpoints: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
  };
}

function clamp(value: number, min: number, max: number): number {
  return Math.floor(Math.min(Math.max(value, min), max));
}
