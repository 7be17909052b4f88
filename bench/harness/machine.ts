import os from 'node:os';

/** What a result depends on besides the code. */
export function describeMachine(serverVersion: string): string {
  const [cpu] = os.cpus();
  return `${os.availableParallelism()} cores (${cpu?.model.trim() ?? 'unknown'}), ${Math.round(os.totalmem() / 2 ** 30)} GiB, ${os.type()} ${os.release()}, Node ${process.versions.node}, PostgreSQL ${serverVersion}, load average ${os.loadavg()[0]?.toFixed(1) ?? '?'} at the start`;
}
