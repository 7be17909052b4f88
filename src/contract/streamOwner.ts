import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { realpath } from 'node:fs/promises';
import type { Connection } from '../platform/db/client.js';
import { AlreadyRunningError } from '../platform/errors.js';

/** First half of the two-key advisory locks that streams take ("strm" in ASCII), apart from everybody else's. */
export const LOCK_SPACE = 0x7374726d;

/** Second half: which checkpoint directory on which machine. @throws ENOENT when there is no such directory. */
export async function ownershipKey(checkpointDir: string): Promise<number> {
  const place = `${hostname()}:${await realpath(checkpointDir)}`;
  return createHash('sha256').update(place).digest().readInt32BE(0);
}

/**
 * Makes this process the only stream with this checkpoint directory, for as long as the connection lives: the lock goes
 * with it, so a killed owner leaves nothing behind. What is loaded is safe without it, by the compare-and-set; this
 * keeps a slow cron run from being overtaken by the next.
 * @throws AlreadyRunningError (exit 5) when another live process is the owner.
 */
export async function takeOwnership({ client }: Connection, checkpointDir: string): Promise<void> {
  const key = await ownershipKey(checkpointDir);
  const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1, $2) as taken', [
    LOCK_SPACE,
    key,
  ]);
  if (rows[0]?.taken === true) return;
  throw new AlreadyRunningError({
    what: `another stream or run-all with the checkpoint directory ${checkpointDir} is running`,
    outcome: 'this one generated and loaded nothing',
    hint: 'let it finish, or give this one a directory of its own: --checkpoint DIR (several may load the same files safely)',
  });
}
