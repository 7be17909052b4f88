import { readFileSync } from 'node:fs';
import path from 'node:path';
import { errnoOf, UsageError } from '../../../platform/errors.js';
import type { SparkInstallation } from './installation.js';

/** What the user has told Spark itself: its own flags (after `--`), and the file of its defaults. */
export interface SparkConf {
  /** As spark-submit will see it, by name of the property; flags win over `--conf`, and that over the file. */
  readonly properties: ReadonlyMap<string, string>;
  /** The flags to pass on: all but those that name jars and packages, which are merged with ours. */
  readonly flags: readonly string[];
  /** Where Spark's own configuration lies (`SPARK_CONF_DIR`). */
  readonly directory: string;
}

export const DEFAULTS_FILE = 'spark-defaults.conf';

/** Flags of spark-submit that set a property. */
const PROPERTY_OF: Readonly<Record<string, string>> = {
  '--master': 'spark.master',
  '--deploy-mode': 'spark.submit.deployMode',
  '--jars': 'spark.jars',
  '--packages': 'spark.jars.packages',
  '--name': 'spark.app.name',
  '--driver-java-options': 'spark.driver.extraJavaOptions',
};

const MERGED: ReadonlySet<string> = new Set(['--jars', '--packages']);

/** Flags that take no value. */
const SWITCHES: ReadonlySet<string> = new Set(['--verbose', '-v', '--supervise', '--load-spark-defaults']);

/** What is ours to say: which program runs, and with what. */
const REFUSED: ReadonlySet<string> = new Set(['--class', '--help', '-h', '--version', '--kill', '--status']);

/**
 * Reads the user's settings as spark-submit does: its flags > `--conf` > `--properties-file`, or else `spark-defaults.conf`
 * in SPARK_CONF_DIR.
 * @throws UsageError for flags that can't be passed on.
 */
export function readSparkConf(
  { home }: SparkInstallation,
  sparkFlags: readonly string[],
  environment: NodeJS.ProcessEnv,
): SparkConf {
  const flags: string[] = [];
  const conf = new Map<string, string>();
  const byFlag = new Map<string, string>();
  let file: string | undefined;
  let isLoadingDefaults = false;
  for (const { flag, value } of pairs(sparkFlags)) {
    if (REFUSED.has(flag)) throw new UsageError([`${flag}: not allowed with --engine spark, which sets it itself`]);
    const property = PROPERTY_OF[flag];
    if (property !== undefined) byFlag.set(property, value ?? '');
    else if (flag === '--conf' || flag === '-c') setProperty(conf, value ?? '');
    else if (flag === '--properties-file') file = value;
    else if (flag === '--load-spark-defaults') isLoadingDefaults = true;
    if (!MERGED.has(flag)) flags.push(flag, ...(value === undefined ? [] : [value]));
  }
  const directory = environment['SPARK_CONF_DIR'] || path.join(home, 'conf');
  const defaults = path.join(directory, DEFAULTS_FILE);
  const files = [file === undefined || isLoadingDefaults ? readProperties(defaults) : [], readProperties(file)];
  return { properties: new Map([...files.flat(), ...conf, ...byFlag]), flags, directory };
}

/** `--conf k=v`, `--conf=k=v` and switches, one after the other. */
function* pairs(flags: readonly string[]): Generator<{ readonly flag: string; readonly value: string | undefined }> {
  for (let index = 0; index < flags.length; index++) {
    const word = flags[index] ?? '';
    if (!word.startsWith('-'))
      throw new UsageError([`${JSON.stringify(word)}: unexpected; put Spark's own flags after --`]);
    const [, flag = word, joined] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
    const value = SWITCHES.has(flag) ? undefined : (joined ?? flags[++index]);
    if (value === undefined && !SWITCHES.has(flag) && !REFUSED.has(flag))
      throw new UsageError([`${flag}: its value is missing`]);
    yield { flag, value };
  }
}

function setProperty(conf: Map<string, string>, text: string): void {
  const at = text.indexOf('=');
  if (at <= 0) throw new UsageError([`--conf ${JSON.stringify(text)}: expected name=value`]);
  conf.set(text.slice(0, at), text.slice(at + 1));
}

/** A file of Java properties (java.util.Properties.load), as far as Spark's settings need it. */
function readProperties(file: string | undefined): [string, string][] {
  if (file === undefined) return [];
  try {
    const lines = readFileSync(file, 'utf8')
      .replace(/\\\r?\n[ \t]*/g, '')
      .split(/\r?\n/);
    return lines.flatMap((line) => {
      const [, name, value = ''] = /^\s*([^\s#!=:][^\s=:]*)\s*[=:]?\s*(.*?)\s*$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, value.replace(/\\(.)/g, '$1')] as [string, string]];
    });
  } catch (error) {
    // Without the file there is nothing; Spark itself reports one that it can't read.
    if (errnoOf(error) !== undefined) return [];
    throw error;
  }
}
