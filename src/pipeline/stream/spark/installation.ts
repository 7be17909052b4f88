import { execFile } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { EcompipeError, EXIT } from '../../../platform/errors.js';

/** A Spark on this machine. */
export interface SparkInstallation {
  /** What SPARK_HOME would be. */
  readonly home: string;
  readonly version: string;
}

/** Spark is missing, of a version that was never tried, or ended by itself (exit 69). */
export class SparkError extends EcompipeError {
  override readonly name = 'SparkError';
  constructor(facts: EcompipeError['facts']) {
    super(EXIT.unavailable, facts);
  }
}

/** Versions the job is written for: the API it uses is in all of them, and the tests run on the first and a late one. */
const SUPPORTED = { from: [3, 5], below: [5, 0], text: '3.5 to 4.x' } as const;

const INSTALL = [
  'python3 -m venv .venv',
  '.venv/bin/pip install "pyspark==4.1.*"',
  'export SPARK_HOME="$(.venv/bin/python3 -c \'import pyspark; print(pyspark.__path__[0])\')"',
];

/**
 * Finds Spark as its own scripts would: SPARK_HOME, else the spark-submit in PATH, else the pyspark of the Python in PATH.
 * @throws SparkError (69) when there is none, or one of another version.
 */
export async function findSpark(environment: NodeJS.ProcessEnv): Promise<SparkInstallation> {
  const home = await findHome(environment);
  const version = versionIn(home);
  if (version === undefined)
    throw new SparkError({ what: `there is no Spark in ${home}`, why: 'jars/ has no spark-core', hint: installHint() });
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (!isAtLeast([major, minor], SUPPORTED.from) || isAtLeast([major, minor], SUPPORTED.below)) {
    throw new SparkError({
      what: `Spark ${version} in ${home} is not supported`,
      why: `this version of ecompipe works with Spark ${SUPPORTED.text}`,
      hint: installHint(),
    });
  }
  return { home, version };
}

function isAtLeast(
  [major, minor]: readonly [number, number],
  [wantedMajor, wantedMinor]: readonly [number, number],
): boolean {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

async function findHome(environment: NodeJS.ProcessEnv): Promise<string> {
  const configured = environment['SPARK_HOME'];
  if (configured) return path.resolve(configured);
  const submit = inPath('spark-submit', environment);
  if (submit !== undefined) {
    const home = path.dirname(path.dirname(realpathSync(submit)));
    if (existsSync(path.join(home, 'jars'))) return home;
  }
  // The spark-submit that pip installs lies beside the Python that knows where the rest is.
  const pythons = [
    ...(submit === undefined ? [] : [path.join(path.dirname(submit), 'python3')]),
    inPath('python3', environment),
  ];
  for (const python of pythons) {
    const home = python === undefined ? undefined : await pysparkOf(python, environment);
    if (home !== undefined) return home;
  }
  throw new SparkError({
    what: 'there is no Apache Spark on this machine',
    why: 'SPARK_HOME is not set, PATH has no spark-submit, and python3 has no pyspark',
    outcome: 'nothing was loaded',
    hint: installHint(),
  });
}

function installHint(): string {
  return `install it, with Java 17 or later:\n    ${INSTALL.join('\n    ')}`;
}

/** From the file's name: starting a JVM to ask it takes seconds. */
function versionIn(home: string): string | undefined {
  const jars = existsSync(path.join(home, 'jars')) ? readdirSync(path.join(home, 'jars')) : [];
  return jars
    .map((name) => /^spark-core_2\.\d+-(\d+\.\d+[^/]*)\.jar$/.exec(name)?.[1])
    .find((version) => version !== undefined);
}

/** The Java that Spark would start. */
export function javaOf(environment: NodeJS.ProcessEnv): string {
  return environment['JAVA_HOME'] ? path.join(environment['JAVA_HOME'], 'bin', 'java') : 'java';
}

/** Its path; undefined where there is none. */
export function javaExecutable(environment: NodeJS.ProcessEnv): string | undefined {
  const java = javaOf(environment);
  const found = java === 'java' ? inPath(java, environment) : java;
  return found !== undefined && existsSync(found) ? found : undefined;
}

function inPath(program: string, environment: NodeJS.ProcessEnv): string | undefined {
  const directories = (environment['PATH'] ?? '').split(path.delimiter).filter((directory) => directory !== '');
  return directories.map((directory) => path.join(directory, program)).find((file) => existsSync(file));
}

async function pysparkOf(python: string, environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(
      python,
      ['-c', 'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])'],
      { env: environment },
    );
    return stdout.trim() || undefined;
  } catch {
    return undefined;
  }
}
