import { sparkJarsSettings } from '../pipeline/stream/settingsTable.js';
import type { SettingsOf } from '../platform/settings.js';
import { defineCommand, runAction, type Actions, type CommandContext, type CommandResult } from './command.js';

type Settings = SettingsOf<typeof sparkJarsSettings>;

const ACTIONS: Actions<Settings> = { prepare: { passesOn: true, run: prepare } };

export const spark = defineCommand({
  name: 'spark',
  args: '<action> [flags...]',
  summary: 'Apache Spark: prepare what stream --engine spark starts with',
  settings: sparkJarsSettings,
  examples: [
    ['ecompipe spark prepare', 'compile the job for the Spark that is found, and fetch the JDBC driver'],
    ['ecompipe spark prepare --spark-jars /opt/jars', 'in an image, or to copy to machines without a network'],
    ['ecompipe spark prepare -- --repositories https://mirror/maven2', "with flags of Spark's own"],
  ],
  run: (settings, context) => runAction('spark', ACTIONS, settings, context),
});

async function prepare(
  settings: Settings,
  { log }: CommandContext,
  sparkFlags: readonly string[],
): Promise<CommandResult> {
  const { prepareSpark, describePrepared } = await import('../pipeline/stream/spark/prepareSpark.js');
  const prepared = await prepareSpark({ ...settings, sparkFlags }, process.env, log);
  return { text: describePrepared(prepared), json: prepared, isReport: true };
}
