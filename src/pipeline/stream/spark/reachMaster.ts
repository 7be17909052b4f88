import { once } from 'node:events';
import { connect } from 'node:net';
import { InterruptedError } from '../../../platform/errors.js';
import type { StageContext } from '../../../platform/stage.js';
import { pause } from '../../../platform/wait.js';
import { SparkError } from './installation.js';

const CONNECT_WITHIN_MS = 5000;
const RETRY_MS = 1000;

/**
 * Waits until a standalone cluster's master takes connections. Spark itself would try for a minute in silence, and then
 * say that its context is stopped.
 * @param retryForMs how long it may take
 * @throws SparkError (69); InterruptedError (130) when stopped meanwhile.
 */
export async function reachMaster(
  master: string,
  retryForMs: number,
  { log, stop }: Pick<StageContext<never>, 'log' | 'stop'>,
): Promise<void> {
  const addresses = addressesOf(master);
  if (addresses.length === 0) return;
  const what = `cannot reach the Spark master ${master}`;
  const startMs = performance.now();
  for (let attempt = 1; ; attempt++) {
    // With several masters, one is the leader and the others stand by.
    const failures = await Promise.all(addresses.map(tryConnect));
    if (failures.includes(undefined)) return;
    const why = failures.join('; ');
    const waitedMs = performance.now() - startMs;
    if (stop.aborted) throw new InterruptedError({ what: `stopped while waiting; ${what}`, why });
    if (waitedMs >= retryForMs)
      throw new SparkError({
        what,
        why,
        outcome: `gave up after ${Math.round(waitedMs / 1000)} s; nothing was loaded`,
        hint: 'check --master (ECOMPIPE_SPARK_MASTER, spark.master in spark-defaults.conf), and that the master is running',
      });
    if (attempt === 1)
      log.warn(
        'spark_master_retry',
        `${what}: ${why}; trying again for up to ${Math.ceil(retryForMs / 1000)} s (--retry-for)`,
      );
    await pause(Math.min(RETRY_MS, retryForMs - waitedMs), stop);
  }
}

/** Those of `spark://one:7077,two:7077`; of other masters none, as only Spark knows how to reach them. */
function addressesOf(master: string): { readonly host: string; readonly port: number }[] {
  if (!master.startsWith('spark://')) return [];
  return master
    .slice('spark://'.length)
    .split(',')
    .map((address) => /^\[?(.*?)\]?:(\d+)$/.exec(address))
    .flatMap((found) => (found === null ? [] : [{ host: found[1] ?? '', port: Number(found[2]) }]));
}

/** @returns why nothing answers there; undefined when somebody does. */
async function tryConnect({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<string | undefined> {
  const socket = connect({ host, port, timeout: CONNECT_WITHIN_MS });
  socket.once('timeout', () => socket.destroy(new Error(`no answer from ${host}:${port} within 5 s`)));
  try {
    await once(socket, 'connect');
    return undefined;
  } catch (error) {
    return error instanceof AggregateError
      ? error.errors.map((each: Error) => each.message).join('; ')
      : (error as Error).message;
  } finally {
    socket.destroy();
  }
}
