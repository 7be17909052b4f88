import { UsageError } from '../platform/errors.js';
import * as parse from '../platform/parsers.js';
import { defineCommand, type CommandResult } from './command.js';
import { databaseSettings } from './settings.js';

export const db = defineCommand({
  name: 'db',
  args: '<action>',
  summary: 'the embedded PostgreSQL: url, start or stop',
  settings: {
    ...databaseSettings,
    force: {
      flag: '--force',
      env: 'ECOMPIPE_FORCE',
      default: false,
      parse: parse.boolean,
      help: 'with stop: also while other commands use it',
    },
  },
  examples: [
    ['psql "$(ecompipe db url)"', 'open a shell on it; starts it, and keeps it running'],
    ['ecompipe db start', 'keep it running until db stop'],
    ['ecompipe db stop', 'stop it'],
  ],
  run: async ({ embeddedDir: directory, force, ...database }, { args, log, stop: signal }): Promise<CommandResult> => {
    const [{ embeddedUrl, startEmbedded, stopEmbedded }, { describeConnection, resolveConnection }] = await Promise.all(
      [import('../platform/db/embedded/index.js'), import('../platform/db/connectionSettings.js')],
    );
    const [action] = args;
    const configured = resolveConnection(database, process.env);
    if (configured !== undefined && action !== 'stop') {
      throw new UsageError(
        [
          `db is about the embedded PostgreSQL, but the other commands use ${describeConnection(configured)}, as DATABASE_URL, POSTGRES_* or PG* say`,
        ],
        'connect to that one with psql, or take the setting away',
      );
    }
    const keptRunning = 'the embedded PostgreSQL keeps running until `ecompipe db stop`';
    switch (action) {
      case 'url': {
        const url = await embeddedUrl({ directory, log, signal });
        log.info('database_kept', keptRunning);
        return { text: url, json: { url } };
      }
      case 'start': {
        const { host, port, database, user } = await startEmbedded({ directory, log, signal });
        return { text: `${host}:${port}/${database}: ${keptRunning}`, json: { host, port, database, user } };
      }
      case 'stop': {
        const stopped = await stopEmbedded({ directory, log, signal, force });
        return { text: stopped ? 'stopped' : 'it was not running', json: { stopped } };
      }
      default:
        throw new UsageError([`db ${action ?? ''}: expected url, start or stop`]);
    }
  },
});
