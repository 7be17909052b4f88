import { chmod, mkdir, realpath, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { EcompipeError, EXIT } from '../../errors.js';
import type { Logger } from '../../log.js';
import { canReach, type ServerAccount } from './account.js';
import { OWN_SERVER_HINT } from './binaries.js';

/** Where a cluster's files go: into the project, or elsewhere with a link from the project. */
export interface ClusterPlace {
  readonly kind: 'project' | 'elsewhere';
  readonly path: string;
}

/**
 * Chooses where to create a cluster: the project's directory, unless we are root and the account that we lend the server
 * can't get there (below /root, in a mktemp directory, …).
 * @throws EcompipeError (77) when there is no place for it.
 */
export async function choosePlace(
  directory: string,
  account: ServerAccount | undefined,
  log: Logger,
): Promise<ClusterPlace> {
  if (account === undefined || (await canReach(directory, account)))
    return { kind: 'project', path: await realpath(directory) };
  const elsewhere = await placeForRoot(account);
  if (elsewhere !== undefined) {
    const link = path.resolve(directory, 'postgres');
    log.info(
      'database_elsewhere',
      `PostgreSQL can't run as root, and ${account.name} can't enter ${path.dirname(link)}: the data goes below ${elsewhere}, ${link} links to it`,
      { place: elsewhere, link },
    );
    return { kind: 'elsewhere', path: elsewhere };
  }
  throw new EcompipeError(EXIT.permission, {
    what: 'cannot run the embedded PostgreSQL as root here',
    why: `PostgreSQL refuses to run as root, and ${account.name}, which would run it, can't enter ${path.resolve(directory)}; /var/lib and ${os.tmpdir()} can't be used either`,
    hint: `run as another user, or ${OWN_SERVER_HINT}`,
  });
}

/** A directory that belongs to root and that the account can pass through, undefined when there is none. */
export async function placeForRoot(account: ServerAccount): Promise<string | undefined> {
  for (const candidate of ['/var/lib/ecompipe', path.join(os.tmpdir(), 'ecompipe-root')]) {
    if (await isUsable(candidate, account)) return candidate;
  }
  return undefined;
}

async function isUsable(candidate: string, account: ServerAccount): Promise<boolean> {
  try {
    await mkdir(candidate, { recursive: true, mode: 0o711 });
    const { uid, mode } = await stat(candidate);
    // In /tmp somebody else may have taken the name: only a directory that root alone can write to is trusted.
    if (uid !== 0 || (mode & 0o022) !== 0) return false;
    await chmod(candidate, 0o711);
    return await canReach(candidate, account);
  } catch {
    return false;
  }
}
