import { createHash, randomUUID } from 'node:crypto';
import { access, lutimes, open, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Connection } from '../platform/db/client.js';
import { AlreadyRunningError, withFileErrors } from '../platform/errors.js';
import { createFile } from '../platform/files/atomicWrite.js';
import { pause } from '../platform/wait.js';
import { boolean, queryRow } from '../platform/db/decodeRows.js';

/** First half of the two-key advisory locks that streams take ("strm" in ASCII), apart from everybody else's. */
export const LOCK_SPACE = 0x7374726d;

/** In the checkpoint directory: a random id, written by the first stream and never changed. */
export const OWNER_ID_NAME = 'owner-id';

/** So long a new stream waits for the lock: the server may need a moment to notice that the last owner was killed. */
const MAX_WAIT_MS = 2000;
const POLL_INTERVAL_MS = 100;

/**
 * Second half: which checkpoint directory. Host name and path can't say: containers often share both and are not one, and
 * one directory is mounted under several paths. The random id tells directories apart, device and inode tell one from its copy.
 * @throws ENOENT when no stream has used the directory yet.
 */
export async function ownershipKey(checkpointDir: string): Promise<number> {
  const file = await open(path.join(checkpointDir, OWNER_ID_NAME), 'r');
  try {
    const { dev, ino } = await file.stat({ bigint: true });
    const id = await file.readFile('utf8');
    return lockKeyOf(`${id.trim()}:${dev}:${ino}`);
  } finally {
    await file.close();
  }
}

/**
 * Notes by the time of the id's file that a loader with this checkpoint directory is there: when it begins, while it looks
 * for files and hears from the database, and when it ends. Only a sign for `status --check --max-idle`: no failure matters.
 */
export async function notePolled(checkpointDir: string): Promise<void> {
  const now = new Date();
  await lutimes(path.join(checkpointDir, OWNER_ID_NAME), now, now).catch(() => undefined);
}

/** @returns how long ago that was noted last, in milliseconds; null when no loader has used the directory yet. */
export async function readPolledAge(checkpointDir: string, nowMs: number): Promise<number | null> {
  const stats = await stat(path.join(checkpointDir, OWNER_ID_NAME)).catch(() => undefined);
  return stats === undefined ? null : Math.max(0, nowMs - stats.mtimeMs);
}

/** The half of an advisory lock that is for this and nothing else. */
export function lockKeyOf(identity: string): number {
  return createHash('sha256').update(identity).digest().readInt32BE(0);
}

/** What one stream at a time may own. */
export interface OwnedPlace {
  /** As the user named it. */
  readonly label: string;
  /** Second half of its lock. */
  ownershipKey(): Promise<number>;
}

/** A checkpoint directory of this machine. It gets its id by the first who asks for the key. */
export function ownedDirectory(checkpointDir: string): OwnedPlace {
  return {
    label: checkpointDir,
    ownershipKey: () =>
      withFileErrors('read or create the owner id in', checkpointDir, async () => {
        await createOwnerId(checkpointDir);
        return await ownershipKey(checkpointDir);
      }),
  };
}

/** Gives the checkpoint directory its id, once: of several streams, the first one does. */
export async function createOwnerId(checkpointDir: string): Promise<void> {
  const target = path.join(checkpointDir, OWNER_ID_NAME);
  const exists = await access(target).then(
    () => true,
    () => false,
  );
  if (exists) return;
  await createFile(target, `${randomUUID()}\n`, { isDurable: false });
}

/**
 * Makes this process the only stream with this checkpoint, for as long as the connection lives: the lock goes
 * with it, so a killed owner leaves nothing behind. What is loaded is safe without it, by the compare-and-set; this
 * keeps a slow cron run from being overtaken by the next.
 * @param stop ends the wait for an owner that is about to vanish.
 * @throws AlreadyRunningError (exit 5) when another live process is the owner.
 */
export async function takeOwnership({ client }: Connection, place: OwnedPlace, stop: AbortSignal): Promise<void> {
  const key = await place.ownershipKey();
  const deadlineMs = performance.now() + MAX_WAIT_MS;
  for (;;) {
    const { taken } = await queryRow(client, { taken: boolean }, 'select pg_try_advisory_lock($1, $2) as taken', [
      LOCK_SPACE,
      key,
    ]);
    if (taken) return;
    if (stop.aborted || performance.now() >= deadlineMs) break;
    await pause(POLL_INTERVAL_MS, stop);
  }
  throw new AlreadyRunningError({
    what: `another stream or run-all with the checkpoint directory ${place.label} is running`,
    outcome: 'this one generated and loaded nothing',
    hint: 'wait for it, or give this one its own directory: --checkpoint DIR (several can safely load the same files)',
  });
}
