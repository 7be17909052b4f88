import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ROOT } from '../docs/markdown.js';

interface Manifest {
  readonly name: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin: Readonly<Record<string, string>>;
}

/** The package as npm would publish it, unpacked as a dependency of an otherwise empty ES module project. */
export interface Packed {
  readonly project: string;
  /** The package's own directory. */
  readonly directory: string;
  /** Paths of its files. */
  readonly files: readonly string[];
  readonly manifest: Manifest;
  readonly remove: () => void;
}

/** Packs what is built (`npm test` builds first). The project has the dependencies that the package names, and no others. */
export function packAndUnpack(): Packed {
  const project = mkdtempSync(path.join(tmpdir(), 'ecompipe-package-'));
  execute('npm', ['run', '--silent', 'prepack'], ROOT);
  const packed = JSON.parse(
    execute('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project], ROOT),
  ) as { filename: string }[];
  const directory = path.join(project, 'node_modules/ecompipe');
  mkdirSync(directory, { recursive: true });
  execute('tar', ['-xzf', path.join(project, packed[0]!.filename), '-C', directory, '--strip-components=1'], project);
  const manifest = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as Manifest;
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(path.dirname(path.join(project, 'node_modules', name)), { recursive: true });
    symlinkSync(path.join(ROOT, 'node_modules', name), path.join(project, 'node_modules', name));
  }
  writeFileSync(path.join(project, 'package.json'), '{ "type": "module" }\n');
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)));
  return { project, directory, files, manifest, remove: () => rmSync(project, { recursive: true, force: true }) };
}

/** Runs a program and gives what it printed. @throws with all that it said, unless it ended with 0. */
export function execute(
  file: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = process.env,
): string {
  const { status, stdout, stderr } = spawnSync(file, args, { cwd, env, encoding: 'utf8', timeout: 120_000 });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${String(status)}\n${stdout}${stderr}`);
  return stdout;
}
