import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the tests and benches of the Spark engine run on: the versions here, unless ECOMPIPE_TEST_SPARK names another Spark. */
const SPARK_VERSION = process.env['ECOMPIPE_TEST_SPARK'] ?? '4.1.4';
const JDBC_VERSION = '42.7.8';

/** The other Sparks that the job must compile and run on: the first one, with Scala 2.12, and those between. */
const OTHER_SPARKS = ['3.5.9', '4.0.5'].filter((version) => version !== SPARK_VERSION);

/** The SDK that hadoop-aws 3.4 is built with; of its bundle of 600 MB only the parts that are used. */
const AWS_SDK_VERSION = '2.29.52';
const AWS_SDK_PARTS = ['s3-transfer-manager', 'apache-client', 'sts', 'kms'];

/** What Hadoop's YARN needs besides its own classes, and expects from elsewhere. */
const YARN_NEEDS = ['org.bouncycastle:bcpkix-jdk18on:1.78.1', 'javax.xml.bind:jaxb-api:2.3.1'];

/** Where it is put; git and npm leave it out. */
const FOLDER = fileURLToPath(new URL('../../.spark/', import.meta.url));

export interface InstalledSpark {
  readonly sparkHome: string;
  readonly jdbcDriver: string;
}

/** What only the tests need besides. */
export interface InstalledForTests extends InstalledSpark {
  /** SPARK_HOME by version. */
  readonly others: Readonly<Record<string, string>>;
  /** Undefined with a Spark whose Hadoop is older: its SDK is another one, of 280 MB. */
  readonly objectStore: { readonly jars: readonly string[]; readonly server: string } | undefined;
  /** HDFS and YARN in one process each. */
  readonly hadoop: { readonly jars: readonly string[] };
}

/**
 * Installs pyspark from PyPI and PostgreSQL's JDBC driver from Maven Central, some 450 MB, unless they are there. Needs
 * python3 with venv, Java 17 and Maven.
 */
export function installSpark(): InstalledSpark {
  return record('installed.json', { spark: SPARK_VERSION, jdbc: JDBC_VERSION }, () => ({
    sparkHome: pyspark(SPARK_VERSION),
    jdbcDriver: jdbcDriver(),
  }));
}

/** The same, the other Sparks, an object store, HDFS and YARN: some 1.5 GB in all. */
export function installForTests(): InstalledForTests {
  const installed = installSpark();
  const hadoop = hadoopOf(installed.sparkHome);
  const wanted = { spark: SPARK_VERSION, others: OTHER_SPARKS, hadoop, yarn: YARN_NEEDS, sdk: AWS_SDK_VERSION };
  const more = record('installed-for-tests.json', wanted, () => ({
    others: Object.fromEntries(OTHER_SPARKS.map((version) => [version, pyspark(version)])),
    ...(hadoop.startsWith('3.3.')
      ? {}
      : { objectStore: { jars: objectStoreJars(hadoop), server: python('moto', 'moto[server]==5.*', 'moto_server') } }),
    hadoop: { jars: hadoopJars(hadoop) },
  }));
  return { objectStore: undefined, ...installed, ...more };
}

/** What a file of ours says is there, or else is installed anew. */
function record<T extends object>(name: string, versions: unknown, install: () => T): T {
  const file = path.join(FOLDER, name);
  if (existsSync(file)) {
    const { versions: found, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as T & { versions?: unknown };
    const isThere = pathsIn(rest).every((place) => existsSync(place));
    if (JSON.stringify(found) === JSON.stringify(versions) && isThere) return rest as unknown as T;
  }
  mkdirSync(FOLDER, { recursive: true });
  const installed = install();
  writeFileSync(file, `${JSON.stringify({ ...installed, versions }, null, 2)}\n`);
  return installed;
}

function pathsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(pathsIn) : [];
}

/** @returns its SPARK_HOME. */
function pyspark(version: string): string {
  const submit = python(`spark-${version}`, `pyspark==${version}`, 'spark-submit', ['--no-deps']);
  const folder = path.join(path.dirname(submit), '../lib');
  const [pythonFolder = ''] = readdirSync(folder);
  // py4j is for Python programs only.
  return path.join(folder, pythonFolder, 'site-packages/pyspark');
}

/** Installs a package into a virtual environment of its own. @returns one of its programs. */
function python(name: string, requirement: string, program: string, flags: readonly string[] = []): string {
  const venv = path.join(FOLDER, name);
  const found = path.join(venv, 'bin', program);
  if (existsSync(found)) return found;
  process.stderr.write(`installing ${requirement} into .spark/\n`);
  rmSync(venv, { recursive: true, force: true });
  run('python3', ['-m', 'venv', venv]);
  const install = ['install', '--quiet', '--no-cache-dir', '--disable-pip-version-check', ...flags, requirement];
  run(path.join(venv, 'bin/pip'), install);
  return found;
}

function jdbcDriver(): string {
  const artifact = `org.postgresql:postgresql:${JDBC_VERSION}`;
  run('mvn', ['--quiet', '--batch-mode', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${FOLDER}`]);
  return path.join(FOLDER, `postgresql-${JDBC_VERSION}.jar`);
}

function hadoopOf(sparkHome: string): string {
  const names = readdirSync(path.join(sparkHome, 'jars'));
  const version = names
    .map((name) => /^hadoop-client-api-(.+)\.jar$/.exec(name)?.[1])
    .find((found) => found !== undefined);
  if (version === undefined) throw new Error(`no hadoop-client-api in ${sparkHome}/jars`);
  return version;
}

function hadoopJars(hadoop: string): string[] {
  const minicluster = `org.apache.hadoop:hadoop-client-minicluster:${hadoop}`;
  return mavenJars('hadoop', [minicluster, 'junit:junit:4.13.2', ...YARN_NEEDS], {
    // Those are in Spark's jars.
    '*': ['org.apache.hadoop:hadoop-client-api', 'org.apache.hadoop:hadoop-client-runtime', 'org.slf4j:slf4j-api'],
  });
}

function objectStoreJars(hadoop: string): string[] {
  const sdk = AWS_SDK_PARTS.map((part) => `software.amazon.awssdk:${part}:${AWS_SDK_VERSION}`);
  return mavenJars('object-store', [`org.apache.hadoop:hadoop-aws:${hadoop}`, ...sdk], {
    'org.apache.hadoop:hadoop-aws': ['*:*'],
    '*': ['org.slf4j:slf4j-api', 'commons-logging:commons-logging', 'commons-codec:commons-codec'],
  });
}

/**
 * Jars of Maven's, with all that they need.
 * @param excluded what is left out, by the artifact that asks for it; `*`: by all others. It is not even downloaded.
 */
function mavenJars(
  name: string,
  artifacts: readonly string[],
  excluded: Readonly<Record<string, readonly string[]>>,
): string[] {
  const folder = path.join(FOLDER, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const coordinates = (text: string): string => {
    const [group, id, version] = text.split(':');
    const more = version === undefined ? '' : `<version>${version}</version>`;
    return `<groupId>${group}</groupId><artifactId>${id}</artifactId>${more}`;
  };
  const dependencies = artifacts.map((artifact) => {
    const exclusions = excluded[artifact.split(':').slice(0, 2).join(':')] ?? excluded['*'] ?? [];
    const list = exclusions.map((exclusion) => `<exclusion>${coordinates(exclusion)}</exclusion>`).join('');
    return `<dependency>${coordinates(artifact)}<exclusions>${list}</exclusions></dependency>`;
  });
  const pom = path.join(folder, 'pom.xml');
  writeFileSync(
    pom,
    `<project><modelVersion>4.0.0</modelVersion>${coordinates(`ecompipe:${name}:1`)}<dependencies>${dependencies.join('')}</dependencies></project>\n`,
  );
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${folder}`];
  run('mvn', ['--quiet', '--batch-mode', '--file', pom, ...goal]);
  return readdirSync(folder)
    .filter((file) => file.endsWith('.jar'))
    .map((file) => path.join(folder, file));
}

function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
