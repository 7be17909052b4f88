import * as parse from '../platform/parsers.js';
import { setting, type SettingsOf } from '../platform/settings.js';
import { sparkJarsSettings } from '../pipeline/stream/settingsTable.js';
import { defineCommand, runAction, type Actions, type CommandContext, type CommandResult } from './command.js';

const table = {
  ...sparkJarsSettings,
  output: setting({
    flag: '--output',
    placeholder: '<file>',
    env: 'ECOMPIPE_SPARK_BUNDLE',
    default: 'ecompipe-spark.jar',
    parse: parse.directory,
    help: 'bundle: the jar to write',
  }),
} as const;

type Settings = SettingsOf<typeof table>;

const ACTIONS: Actions<Settings> = {
  prepare: { passesOn: true, run: prepare },
  bundle: { passesOn: true, run: bundle },
};

export const spark = defineCommand({
  name: 'spark',
  args: '<action> [flags...]',
  summary: 'Apache Spark: prepare what stream starts with, or bundle a jar for spark-submit',
  settings: table,
  examples: [
    ['ecompipe spark prepare', 'compile the job, fetch the JDBC driver, archive the classes'],
    ['ecompipe spark prepare --spark-jars /opt/jars', 'in an image, or to copy to machines without a network'],
    ['ecompipe spark bundle', 'one jar with all that spark-submit needs, in cluster mode too'],
    ['ecompipe spark prepare -- --repositories https://mirror/maven2', "with flags of Spark's own"],
  ],
  run: (settings, context) => runAction('spark', ACTIONS, settings, context),
});

async function prepare(
  settings: Settings,
  context: CommandContext,
  sparkFlags: readonly string[],
): Promise<CommandResult> {
  const { prepareSpark, describePrepared } = await import('../pipeline/stream/spark/prepareSpark.js');
  const prepared = await prepareSpark({ ...settings, sparkFlags }, process.env, context);
  return { text: describePrepared(prepared), json: prepared, isReport: true };
}

async function bundle(
  settings: Settings,
  { log }: CommandContext,
  sparkFlags: readonly string[],
): Promise<CommandResult> {
  const { bundleSpark, describeBundled } = await import('../pipeline/stream/spark/bundleSpark.js');
  const bundled = await bundleSpark({ ...settings, sparkFlags }, process.env, log);
  return { text: describeBundled(bundled), json: bundled, isReport: true };
}
