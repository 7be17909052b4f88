import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the tests and benches of the Spark engine run on: the versions here, unless ECOMPIPE_TEST_SPARK names another Spark. */
const SPARK_VERSION = process.env['ECOMPIPE_TEST_SPARK'] ?? '4.1.4';
const JDBC_VERSION = '42.7.8';

/** Where it is put; git and npm leave it out. */
const FOLDER = fileURLToPath(new URL('../../.spark/', import.meta.url));

export interface InstalledSpark {
  readonly sparkHome: string;
  readonly jdbcDriver: string;
}

/**
 * Installs pyspark from PyPI and PostgreSQL's JDBC driver from Maven Central, some 450 MB, unless they are there. Needs
 * python3 with venv, Java 17 and Maven.
 */
export function installSpark(): InstalledSpark {
  const installed = path.join(FOLDER, 'installed.json');
  const wanted = { spark: SPARK_VERSION, jdbc: JDBC_VERSION };
  if (existsSync(installed)) {
    const { versions, ...found } = JSON.parse(readFileSync(installed, 'utf8')) as InstalledSpark & {
      versions?: unknown;
    };
    if (
      JSON.stringify(versions) === JSON.stringify(wanted) &&
      existsSync(found.sparkHome) &&
      existsSync(found.jdbcDriver)
    )
      return found;
  }
  const venv = path.join(FOLDER, `spark-${SPARK_VERSION}`);
  rmSync(venv, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const run = (program: string, args: readonly string[]): string =>
    execFileSync(program, args, { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }).trim();
  process.stderr.write(`installing Spark ${SPARK_VERSION} into .spark/\n`);
  run('python3', ['-m', 'venv', venv]);
  // py4j is for Python programs only.
  run(path.join(venv, 'bin/pip'), [
    'install',
    '--quiet',
    '--no-cache-dir',
    '--no-deps',
    '--disable-pip-version-check',
    `pyspark==${SPARK_VERSION}`,
  ]);
  const sparkHome = run(path.join(venv, 'bin/python3'), [
    '-c',
    'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])',
  ]);
  run('mvn', [
    '--quiet',
    '--batch-mode',
    'dependency:copy',
    `-Dartifact=org.postgresql:postgresql:${JDBC_VERSION}`,
    `-DoutputDirectory=${FOLDER}`,
  ]);
  const found = { sparkHome, jdbcDriver: path.join(FOLDER, `postgresql-${JDBC_VERSION}.jar`) };
  writeFileSync(installed, `${JSON.stringify({ ...found, versions: wanted }, null, 2)}\n`);
  return found;
}
