import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from '../../../platform/errors.js';
import type { SparkInstallation } from './installation.js';
import { DEFAULTS_FILE, type SparkConf } from './sparkConf.js';

export interface DriverSettings {
  readonly spark: SparkInstallation;
  readonly jar: string;
  /** What our own flag or variable says; undefined: what Spark's settings say, or else all cores of this machine. */
  readonly master: string | undefined;
  readonly conf: SparkConf;
  /** Jar of PostgreSQL's JDBC driver; without one Spark fetches it from Maven Central, unless it has it. */
  readonly jdbcDriver: string | undefined;
  /** Java's archive of classes (see classArchive): to start with, or to be made at the end. */
  readonly classArchive?: { readonly file: string; readonly mode: 'use' | 'make' } | undefined;
}

/** Where it runs when nobody says. */
const DEFAULT_MASTER = 'local[*]';

/** Fetched by Spark, once, where nobody says where the driver is. */
const JDBC_PACKAGE = 'org.postgresql:postgresql:42.7.8';

/** Secrets that the JVM's environment need not hold: what it needs comes over its standard input. */
const SECRETS: ReadonlySet<string> = new Set([
  'DATABASE_URL',
  'POSTGRES_PASSWORD',
  'PGPASSWORD',
  'ECOMPIPE_METRICS_TOKEN',
  'ECOMPIPE_DASHBOARD_PASSWORD',
  'ECOMPIPE_NOTIFY_URL',
]);

/**
 * Where nothing comes from other machines, none is to reach the driver: its ports take commands, and ask for the secret
 * that Spark makes up for itself in local mode.
 */
const LOCAL_DEFAULTS: Readonly<Record<string, string>> = {
  'spark.driver.bindAddress': '127.0.0.1',
  'spark.driver.host': '127.0.0.1',
  'spark.authenticate': 'true',
};

/** In Java the locale says how names of files are encoded; in that of a service or a container, `C`, others than ASCII are not found. */
const LOCALE = 'C.UTF-8';

/** The master that Spark will use: a flag of its own after `--`, ours, then what its settings and its environment say. */
export function masterOf(
  { master, conf }: Pick<DriverSettings, 'master' | 'conf'>,
  environment: NodeJS.ProcessEnv,
): string {
  const ofUser = conf.properties.get('spark.master') ?? (environment['MASTER'] || DEFAULT_MASTER);
  return conf.flags.includes('--master') ? ofUser : (master ?? ofUser);
}

/**
 * The process that merges talks to the driver over its standard input and output: in another place it would neither hear
 * of its end nor end with it.
 * @throws UsageError when Spark's settings ask for that.
 */
export function assertClientMode({ properties }: SparkConf, environment: NodeJS.ProcessEnv): void {
  const mode = properties.get('spark.submit.deployMode') ?? (environment['DEPLOY_MODE'] || 'client');
  if (mode !== 'client')
    throw new UsageError([
      `spark.submit.deployMode ${JSON.stringify(mode)}: --engine spark needs client mode, as the process that you start merges the rows beside the driver; for cluster mode, submit the jar of \`ecompipe spark bundle\``,
    ]);
}

/** Arguments of spark-submit. What the user has set for Spark stays: arguments would win over it. */
export function submitArguments(settings: DriverSettings, environment: NodeJS.ProcessEnv): string[] {
  const { jar, conf } = settings;
  const { properties } = conf;
  const master = masterOf(settings, environment);
  const defaults = isLocal(master) ? LOCAL_DEFAULTS : { 'spark.executorEnv.LC_ALL': LOCALE };
  const missing = Object.entries(defaults).filter(([name]) => !properties.has(name));
  return [
    '--master',
    master,
    '--deploy-mode',
    'client',
    ...(properties.has('spark.app.name') ? [] : ['--name', 'ecompipe']),
    '--class',
    'ecompipe.Main',
    '--conf',
    'spark.ui.showConsoleProgress=false',
    ...missing.flatMap(([name, value]) => ['--conf', `${name}=${value}`]),
    ...conf.flags,
    ...driverArguments(settings),
    ...classArchiveArguments(settings),
    jar,
  ];
}

/** Name of a directory of settings that does not exist. */
export const NO_CONF = 'no-conf';

const JAVA_OPTIONS = 'spark.driver.extraJavaOptions';

/** What a configuration directory may hold that is not read from the class path, which has no place for it with an archive. */
const NOT_ON_CLASS_PATH = /^spark-defaults\.conf$|\.template$/;

/**
 * Whether Java may start the driver with an archive of its classes. The archive is of Spark's jars, and Java takes none where a
 * directory with files comes before them in the class path: Spark's configuration, which may hold settings of its logging
 * or of Hadoop, or variables (spark-env.sh).
 */
export function takesClassArchive(
  settings: Pick<DriverSettings, 'master' | 'conf'>,
  environment: NodeJS.ProcessEnv,
): boolean {
  const { properties, directory, flags } = settings.conf;
  return (
    isLocal(masterOf(settings, environment)) &&
    !properties.has('spark.driver.extraClassPath') &&
    !flags.some((flag) => flag === '--driver-class-path' || flag === '--load-spark-defaults') &&
    !/-XX:\+?(SharedArchiveFile|ArchiveClassesAtExit|AutoCreateSharedArchive)/.test(
      properties.get(JAVA_OPTIONS) ?? '',
    ) &&
    filesIn(directory).every((name) => NOT_ON_CLASS_PATH.test(name))
  );
}

function filesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** What was in the configuration directory is named instead. */
function classArchiveArguments({ classArchive, conf }: DriverSettings): string[] {
  if (classArchive === undefined) return [];
  const option = classArchive.mode === 'use' ? 'SharedArchiveFile' : 'ArchiveClassesAtExit';
  const ofUser = conf.properties.get(JAVA_OPTIONS) ?? '';
  const defaults = path.join(conf.directory, DEFAULTS_FILE);
  const isNamed = conf.flags.includes('--properties-file') || !existsSync(defaults);
  return [
    ...(isNamed ? [] : ['--properties-file', defaults]),
    '--driver-java-options',
    `"-XX:${option}=${classArchive.file.replace(/["\\]/g, '\\$&')}" ${ofUser}`.trim(),
  ];
}

function listOf({ properties }: SparkConf, name: string): string[] {
  return (properties.get(name) ?? '').split(',').filter((item) => item !== '');
}

/** Whether Spark's own settings bring PostgreSQL's driver. */
export function hasJdbcDriver(conf: SparkConf): boolean {
  return (
    listOf(conf, 'spark.jars').some((jar) => /(^|\/)postgresql-\d[^/]*\.jar$/.test(jar)) ||
    listOf(conf, 'spark.jars.packages').some((name) => name.startsWith('org.postgresql:postgresql:'))
  );
}

/** The user's jars and packages, and PostgreSQL's driver, which would take their place otherwise. */
function driverArguments({ spark, conf, jdbcDriver, classArchive }: DriverSettings): string[] {
  // Whoever makes an archive loads nothing.
  if (classArchive?.mode === 'make') return [];
  const [jars, packages] = [listOf(conf, 'spark.jars'), listOf(conf, 'spark.jars.packages')];
  if (jdbcDriver === undefined) {
    if (!hasJdbcDriver(conf)) packages.push(JDBC_PACKAGE);
  } else if (!jdbcDriver.startsWith(`${spark.home}${path.sep}`)) jars.push(jdbcDriver);
  return [
    ...(packages.length > 0 ? ['--packages', packages.join()] : []),
    ...(jars.length > 0 ? ['--jars', jars.join()] : []),
  ];
}

/**
 * Environment of spark-submit. The address of Spark's web UI is not a property: it listens on SPARK_LOCAL_IP, or else on all
 * addresses. The user's own value wins, also that of `spark-env.sh`, which spark-submit runs later.
 */
export function submitEnvironment(
  settings: Pick<DriverSettings, 'spark' | 'master' | 'conf' | 'classArchive'>,
  environment: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const { classArchive, spark } = settings;
  return {
    ...(isLocal(masterOf(settings, environment)) ? { SPARK_LOCAL_IP: '127.0.0.1' } : {}),
    ...Object.fromEntries(Object.entries(environment).filter(([name]) => !SECRETS.has(name))),
    ...(hasUtf8Locale(environment) ? {} : { LC_ALL: LOCALE }),
    SPARK_HOME: spark.home,
    // See takesClassArchive.
    ...(classArchive === undefined ? {} : { SPARK_CONF_DIR: path.join(path.dirname(classArchive.file), NO_CONF) }),
  };
}

function hasUtf8Locale(environment: NodeJS.ProcessEnv): boolean {
  const { LC_ALL, LC_CTYPE, LANG } = environment;
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}

/** One process: `local`, `local[4]`, `local[*,3]`. `local-cluster[…]` has several, and makes up no secret. */
function isLocal(master: string): boolean {
  return /^local(\[.*\])?$/.test(master);
}
