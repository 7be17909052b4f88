import { readFileSync } from 'node:fs';
import path from 'node:path';
import { errnoOf } from '../../../platform/errors.js';
import type { SparkInstallation } from './installation.js';

export interface DriverSettings {
  readonly spark: SparkInstallation;
  readonly jar: string;
  readonly master: string;
  /** Jar of PostgreSQL's JDBC driver; without one Spark fetches it from Maven Central, unless it has it. */
  readonly jdbcDriver: string | undefined;
}

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

/** Arguments of spark-submit. What the user has set in `spark-defaults.conf` stays: arguments would win over it. */
export function submitArguments(
  { spark, jar, master, jdbcDriver }: DriverSettings,
  environment: NodeJS.ProcessEnv,
): string[] {
  const chosen = isLocal(master) ? userDefaults(spark, environment) : new Set<string>();
  const local = isLocal(master) ? Object.entries(LOCAL_DEFAULTS).filter(([name]) => !chosen.has(name)) : [];
  const driver =
    jdbcDriver === undefined
      ? ['--packages', JDBC_PACKAGE]
      : jdbcDriver.startsWith(`${spark.home}${path.sep}`)
        ? []
        : ['--jars', jdbcDriver];
  return [
    '--master',
    master,
    '--name',
    'ecompipe',
    '--class',
    'ecompipe.Main',
    '--conf',
    'spark.ui.showConsoleProgress=false',
    ...local.flatMap(([name, value]) => ['--conf', `${name}=${value}`]),
    ...driver,
    jar,
  ];
}

/**
 * Environment of spark-submit. The address of Spark's web UI is no property: it listens on SPARK_LOCAL_IP, or else on all
 * addresses. The user's own value wins, also that of `spark-env.sh`, which spark-submit runs later.
 */
export function submitEnvironment(
  { spark, master }: Pick<DriverSettings, 'spark' | 'master'>,
  environment: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  return {
    ...(isLocal(master) ? { SPARK_LOCAL_IP: '127.0.0.1' } : {}),
    ...Object.fromEntries(Object.entries(environment).filter(([name]) => !SECRETS.has(name))),
    SPARK_HOME: spark.home,
  };
}

/** One process: `local`, `local[4]`, `local[*,3]`. `local-cluster[…]` has several, and makes up no secret. */
function isLocal(master: string): boolean {
  return /^local(\[.*\])?$/.test(master);
}

/** The names that the user's `spark-defaults.conf` sets, a file of Java properties. */
function userDefaults({ home }: SparkInstallation, environment: NodeJS.ProcessEnv): ReadonlySet<string> {
  const file = path.join(environment['SPARK_CONF_DIR'] || path.join(home, 'conf'), 'spark-defaults.conf');
  try {
    const names = readFileSync(file, 'utf8').matchAll(/^[ \t]*([^\s#!=:]+)[ \t]*[=: \t]/gm);
    return new Set([...names].map(([, name = '']) => name));
  } catch (error) {
    // Without the file there is nothing; Spark itself reports one that it can't read.
    if (errnoOf(error) !== undefined) return new Set();
    throw error;
  }
}
