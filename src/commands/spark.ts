import { UsageError } from '../platform/errors.js';
import { sparkJarsSettings } from '../pipeline/stream/settingsTable.js';
import { defineCommand } from './command.js';

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
  run: async (settings, { args, log }) => {
    const [action = '', ...sparkFlags] = args;
    if (action !== 'prepare') throw new UsageError([`spark ${action}: expected prepare`]);
    const { prepareSpark, describePrepared } = await import('../pipeline/stream/spark/prepareSpark.js');
    const prepared = await prepareSpark({ ...settings, sparkFlags }, process.env, log);
    return { text: describePrepared(prepared), json: prepared, isReport: true };
  },
});
