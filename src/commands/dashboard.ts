import * as parse from '../platform/parsers.js';
import type { Setting, SettingTable } from '../platform/settings.js';
import { untilAborted } from '../platform/wait.js';
import { defineCommand } from './command.js';
import { connectionSettings, databaseSettings } from './settings.js';
import { incomingDir, processingDir } from '../contract/directorySettings.js';

export const DEFAULT_PORT = 8787;

const host: Setting<string> = {
  flag: '--dashboard-host',
  placeholder: '<address>',
  env: 'ECOMPIPE_DASHBOARD_HOST',
  default: '127.0.0.1',
  parse: parse.text,
  help: 'address of the dashboard; 0.0.0.0 shows it to other machines',
};

/** For run-all. */
export const dashboardSettings = {
  dashboardPort: {
    flag: '--dashboard',
    placeholder: '[port]',
    env: 'ECOMPIPE_DASHBOARD',
    default: undefined,
    defaultText: `off; port ${DEFAULT_PORT}`,
    parse: parse.optional((raw) => (raw === 'true' ? DEFAULT_PORT : parse.integer(0, 65_535)(raw))),
    help: 'serve the live page; 0: a free port',
  } as Setting<number | undefined>,
  dashboardHost: host,
} satisfies SettingTable;

/** A page that says what is wrong, and goes on by itself, is more use than none: it waits unless it is told not to. */
const retryForMs: Setting<number | undefined> = {
  ...databaseSettings.retryForMs,
  default: undefined,
  defaultText: 'never',
  parse: parse.optional(parse.duration),
  help: 'give up (exit 69) when the database has been away so long, such as 90s or 1h',
};

export const dashboard = defineCommand({
  name: 'dashboard',
  summary: 'a live page of shop and pipeline on 127.0.0.1',
  settings: {
    ...connectionSettings,
    retryForMs,
    dashboardPort: {
      flag: '--port',
      placeholder: '<port>',
      env: 'ECOMPIPE_DASHBOARD_PORT',
      default: DEFAULT_PORT,
      parse: parse.integer(0, 65_535),
      help: 'port to listen on; 0: a free one',
    },
    dashboardHost: { ...host, flag: '--host', help: 'address to listen on; 0.0.0.0 shows the page to other machines' },
    incomingDir: { ...incomingDir, flag: '--incoming-dir', placeholder: '<dir>', help: 'where files wait to be moved' },
    processingDir: {
      ...processingDir,
      flag: '--processing-dir',
      placeholder: '<dir>',
      help: 'where files wait to be loaded',
    },
  },
  examples: [
    ['ecompipe dashboard', `on http://127.0.0.1:${DEFAULT_PORT}/ until Ctrl-C`],
    ['ecompipe dashboard --port 0 --json', 'on a free port, told as JSON at the end'],
    ['ecompipe run-all --dashboard', 'the pipeline and its page in one'],
  ],
  run: async ({ dashboardHost, dashboardPort, retryForMs, ...settings }, context) => {
    const [{ withDatabase }, { dashboardUrl, withDashboard }, { ensureSchema }] = await Promise.all([
      import('../platform/db/target.js'),
      import('../pipeline/dashboard/runDashboard.js'),
      import('../pipeline/migrate/schema.js'),
    ]);
    const page = {
      host: dashboardHost,
      port: dashboardPort,
      portFlag: '--port',
      incomingDir: settings.incomingDir,
      processingDir: settings.processingDir,
      retryForMs,
    };
    const target = { ...settings, retryForMs: retryForMs ?? databaseSettings.retryForMs.default };
    return await withDatabase(target, context, async (database) => {
      // Somebody else's database is not touched: the page says what it lacks, and goes on when it is there.
      if (database.embedded) await ensureSchema(database, context);
      return await withDashboard(page, database, context, async (server, failed) => {
        const url = dashboardUrl(server);
        context.log.info('dashboard_served', `the dashboard is on ${url} until Ctrl-C`, { url });
        await untilAborted(context.stop, failed);
        failed.throwIfAborted();
        return { json: { url } };
      });
    });
  },
});
