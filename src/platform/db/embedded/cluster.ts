import { chmod, lstat, mkdir, mkdtemp, readdir, realpath, rename, rm, symlink, stat } from 'node:fs/promises';
import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import os from 'node:os';
import { EcompipeError, errnoOf, EXIT, withFileErrors } from '../../errors.js';
import type { Logger } from '../../log.js';
import { serverAccount, type ServerAccount, canReach } from './account.js';
import { chownPlain, readText, writeNew } from './files.js';
import { initdb } from './initdb.js';
import { assertOurs } from './trust.js';
import { OWN_SERVER_HINT } from './binaries.js';

/** The files of one embedded server. */
export interface Cluster {
  /** Holds everything below; the real path, which may lie outside the project. */
  readonly home: string;
  /** The server's data directory, owned by `account`. */
  readonly data: string;
  /** Runs the server; undefined: we do. */
  readonly account: ServerAccount | undefined;
  readonly password: string;
}

export interface ClusterOptions {
  /** The project's working directory, usually `.ecompipe`; created when missing. */
  readonly directory: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** For a person who needs more than the commands do; clusters of earlier versions have none. */
const SUPERUSER_PASSWORD = 'superuser-password';

/** initdb takes about a second: what is this old was left by one that was killed. */
const ABANDONED_MS = 10 * 60_000;

/**
 * Opens the cluster of a project, undefined when there is none.
 * @throws EcompipeError (77) when the directory, or what leads to it, is somebody else's: see {@link assertOurs}.
 */
export async function openCluster(directory: string): Promise<Cluster | undefined> {
  const published = path.join(directory, 'postgres');
  return withFileErrors('use the embedded database in', published, async () => {
    await assertOurs(directory);
    await assertOurs(published);
    const home = await realpath(published).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (home === undefined) return undefined;
    const data = path.join(home, 'data');
    const password = (await readText(path.join(home, 'password'))).trim();
    return { home, data, password, account: await ownerOf(data) };
  });
}

/** Opens the cluster of a project, and creates it when there is none. Any number of processes may do so at once. */
export async function ensureCluster(options: ClusterOptions): Promise<Cluster> {
  const existing = await openCluster(options.directory);
  if (existing !== undefined) return existing;
  await createDirectory(options.directory);
  await createCluster(options);
  const created = await openCluster(options.directory);
  if (created !== undefined) return created;
  throw new EcompipeError(EXIT.io, {
    what: `${path.join(options.directory, 'postgres')} leads nowhere`,
    why: 'the data directory it links to is gone',
    hint: 'remove the link to begin with an empty database',
  });
}

/** Of root's, the server's account passes through to its data; nobody else has any business there. */
async function createDirectory(directory: string): Promise<void> {
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  await withFileErrors('create', directory, () => mkdir(directory, { recursive: true, mode }));
}

/**
 * Builds a cluster under a hidden name, then makes it visible in one atomic step: a rename, or a link when the data must
 * live elsewhere. Killed at any moment it leaves nothing or a whole cluster; of two at once, the second finds the
 * place taken and removes its own.
 */
async function createCluster(options: ClusterOptions): Promise<void> {
  const account = await serverAccount();
  const place = await choosePlace(options.directory, account, options.log);
  await removeAbandoned(place.path);
  const home = await withFileErrors('create a database in', place.path, () =>
    mkdtemp(path.join(place.path, '.postgres-')),
  );
  try {
    await fill(home, account, place.path, options);
    const published = path.join(options.directory, 'postgres');
    await (place.kind === 'project' ? rename(home, published) : publishElsewhere(home, published));
  } catch (error) {
    // A killed initdb may still be writing; what can't be removed now is when it is old.
    await rm(home, { recursive: true, force: true, maxRetries: 5 }).catch(() => undefined);
    // ENOTDIR: there is a link, and it leads nowhere; our caller tells that.
    if (!['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error;
  }
}

async function fill(
  home: string,
  account: ServerAccount | undefined,
  place: string,
  { log, signal }: ClusterOptions,
): Promise<void> {
  const data = path.join(home, 'data');
  const superuserFile = path.join(home, SUPERUSER_PASSWORD);
  const [password, ofSuperuser] = [newPassword(), newPassword()];
  // The account passes through to its data directory; it can't list the rest.
  await chmod(home, account === undefined ? 0o700 : 0o711);
  await mkdir(data, { mode: 0o700 });
  await writeNew(path.join(home, 'password'), `${password}\n`);
  await writeNew(superuserFile, `${ofSuperuser}\n`, account);
  if (account !== undefined) await chownPlain(data, account);
  await initdb({ data, superuserFile, password, account, place, log, signal });
  if (account !== undefined) await chownPlain(superuserFile, { uid: 0, gid: 0 });
}

function newPassword(): string {
  return randomBytes(24).toString('base64url');
}

/** Whether the role that commands connect as is not a superuser: there is another one, which earlier versions did not make. */
export async function hasOwnSuperuser({ home }: Pick<Cluster, 'home'>): Promise<boolean> {
  return (await lstat(path.join(home, SUPERUSER_PASSWORD)).catch(() => undefined)) !== undefined;
}

async function publishElsewhere(home: string, published: string): Promise<void> {
  const name = createHash('sha256').update(path.resolve(published)).digest('hex').slice(0, 12);
  const target = path.join(path.dirname(home), `${name}-${path.basename(home).slice('.postgres-'.length)}`);
  await rename(home, target);
  try {
    await symlink(target, published);
  } catch (error) {
    await rm(target, { recursive: true, force: true });
    throw error;
  }
}

async function removeAbandoned(place: string): Promise<void> {
  for (const name of await readdir(place)) {
    if (!/^\.(postgres|server)-/.test(name)) continue;
    const leftover = path.join(place, name);
    const { mtimeMs } = await lstat(leftover).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > ABANDONED_MS) await rm(leftover, { recursive: true, force: true });
  }
}

/** As root we run the server as whoever owns its data: it may have been created by a user, or by root for `postgres`. */
async function ownerOf(data: string): Promise<ServerAccount | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = await lstat(data);
  return { uid, gid, name: String(uid) };
}

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
