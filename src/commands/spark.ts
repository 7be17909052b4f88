import * as parse from '../platform/parsers.js';
import { UsageError } from '../platform/errors.js';
import { setting } from '../platform/settings.js';
import { sparkJarsSettings } from '../pipeline/stream/settingsTable.js';
import { defineCommand } from './command.js';

export const spark = defineCommand({
  name: 'spark',
  args: '<action> [flags...]',
  summary: 'Apache Spark: prepare what stream starts with, or bundle a jar for spark-submit',
  settings: {
    ...sparkJarsSettings,
    output: setting({
      flag: '--output',
      placeholder: '<file>',
      env: 'ECOMPIPE_SPARK_BUNDLE',
      default: 'ecompipe-spark.jar',
      parse: parse.directory,
      help: 'bundle: the jar to write',
    }),
  },
  examples: [
    ['ecompipe spark prepare', 'compile the job for the Spark that is found, and fetch the JDBC driver'],
    ['ecompipe spark prepare --spark-jars /opt/jars', 'in an image, or to copy to machines without a network'],
    ['ecompipe spark bundle', 'one jar with all that spark-submit needs, in cluster mode too'],
    ['ecompipe spark prepare -- --repositories https://mirror/maven2', "with flags of Spark's own"],
  ],
  run: async (settings, { args, log }) => {
    const [action = '', ...sparkFlags] = args;
    if (action === 'prepare') {
      const { prepareSpark, describePrepared } = await import('../pipeline/stream/spark/prepareSpark.js');
      const prepared = await prepareSpark({ ...settings, sparkFlags }, process.env, log);
      return { text: describePrepared(prepared), json: prepared, isReport: true };
    }
    if (action === 'bundle') {
      const { bundleSpark, describeBundled } = await import('../pipeline/stream/spark/bundleSpark.js');
      const bundled = await bundleSpark({ ...settings, sparkFlags }, process.env, log);
      return { text: describeBundled(bundled), json: bundled, isReport: true };
    }
    throw new UsageError([`spark ${action}: expected prepare or bundle`]);
  },
});
