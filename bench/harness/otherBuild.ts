import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execFileSync } from 'node:child_process';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The executable of another commit. */
export interface OtherBuild {
  readonly commit: string;
  readonly executable: string;
}

/**
 * Builds the commit that a git revision names, below the cache directory; once, as a commit does not change.
 * @throws TypeError when there is no such revision; what git, npm or the compiler say.
 */
export function buildOf(revision: string, cacheDir: string): OtherBuild {
  const commit = resolveCommit(revision);
  const directory = path.join(cacheDir, 'builds', commit);
  const executable = path.join(directory, 'bin', 'ecompipe.js');
  if (!existsSync(directory)) {
    const unfinished = `${directory}.unfinished`;
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true });
    const archive = execFileSync('git', ['archive', commit], { cwd: ROOT, maxBuffer: 2 ** 30 });
    execFileSync('tar', ['-x', '-C', unfinished], { input: archive });
    if (hasOurDependencies(unfinished))
      symlinkSync(path.join(ROOT, 'node_modules'), path.join(unfinished, 'node_modules'));
    else run(unfinished, 'npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--silent');
    run(unfinished, process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');
    renameSync(unfinished, directory);
  }
  return { commit: commit.slice(0, 10), executable };
}

function resolveCommit(revision: string): string {
  try {
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`];
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  } catch {
    throw new TypeError(`--against ${revision}: expected a git revision`);
  }
}

function hasOurDependencies(directory: string): boolean {
  const [ours, theirs] = [ROOT, directory].map((each) => {
    const file = JSON.parse(readFileSync(path.join(each, 'package.json'), 'utf8')) as Record<string, unknown>;
    return JSON.stringify([file['dependencies'], file['devDependencies']]);
  });
  return ours === theirs;
}

function run(cwd: string, program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
}
