import * as parse from '../platform/parsers.js';
import type { Setting, SettingTable } from '../platform/settings.js';
import { untilAborted } from '../platform/wait.js';
import { defineCommand } from './command.js';
import { databaseSettings } from './settings.js';
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

/** Which port somebody asked for; `on`: whichever is free; `auto`: the same on a terminal, none elsewhere. */
export type DashboardWish = 'auto' | 'on' | 'off' | number;

const wish: Setting<DashboardWish> = {
  flag: '--dashboard',
  placeholder: '[port]',
  negatedHelp: 'no live page',
  env: 'ECOMPIPE_DASHBOARD',
  default: 'auto',
  defaultText: `on a terminal, on port ${DEFAULT_PORT} or a free one`,
  parse: (raw) => {
    if (raw === 'auto' || raw === 'on' || raw === 'off') return raw;
    if (raw === 'true' || raw === 'false') return raw === 'true' ? 'on' : 'off';
    return parse.integer(0, 65_535)(raw);
  },
  help: 'serve the live page; 0: a free port',
};

/** For run-all. */
export const dashboardSettings = {
  dashboardWish: wish,
  dashboardHost: host,
} satisfies SettingTable;

export const dashboard = defineCommand({
  name: 'dashboard',
  summary: 'a live page of shop and pipeline on 127.0.0.1',
  settings: {
    ...databaseSettings,
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
    ['ecompipe run-all', 'the pipeline and its page in one'],
  ],
  run: async ({ dashboardHost, dashboardPort, ...settings }, context) => {
    const [{ withDatabase }, { dashboardUrl, withDashboard }] = await Promise.all([
      import('../platform/db/target.js'),
      import('../pipeline/dashboard/runDashboard.js'),
    ]);
    return await withDatabase(settings, context, (database) =>
      withDashboard(
        {
          host: dashboardHost,
          port: dashboardPort,
          incomingDir: settings.incomingDir,
          processingDir: settings.processingDir,
        },
        database,
        context,
        async (server) => {
          const url = dashboardUrl(server);
          context.log.info('dashboard_served', `the dashboard is on ${url} until Ctrl-C`, { url });
          await untilAborted(context.stop);
          return { json: { url } };
        },
      ),
    );
  },
});
