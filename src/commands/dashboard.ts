import * as parse from '../platform/parsers.js';
import { type Setting, type SettingsOf, type SettingTable, readSecret } from '../platform/settings.js';
import { untilAborted } from '../platform/wait.js';
import { defineCommand } from './command.js';
import { feedSettings, loadFeeds, ownDirectories } from './feedSettings.js';
import { metricsSettings, withMetrics } from './metrics.js';
import { connectionSettings, databaseSettings } from './settings.js';
import { incomingDir, processingDir } from '../contract/directorySettings.js';
import { listOptions } from '../contract/listFiles.js';
import { selectionSettings } from '../contract/selectionSettings.js';

export const DEFAULT_PORT = 8787;

const host: Setting<string> = {
  flag: '--dashboard-host',
  placeholder: '<address>',
  env: 'ECOMPIPE_DASHBOARD_HOST',
  default: '127.0.0.1',
  parse: parse.text,
  help: 'address of the dashboard; 0.0.0.0 shows it to other machines, with a password',
};
const password: Setting<string | undefined> = {
  env: 'ECOMPIPE_DASHBOARD_PASSWORD',
  default: undefined,
  parse: parse.optional(parse.text),
  help: 'password that the dashboard asks for; needed where other machines reach it',
};
const passwordFile: Setting<string | undefined> = {
  flag: '--dashboard-password-file',
  placeholder: '<file>',
  env: 'ECOMPIPE_DASHBOARD_PASSWORD_FILE',
  default: undefined,
  parse: parse.optional(parse.directory),
  help: 'file with the password of the dashboard (or ECOMPIPE_DASHBOARD_PASSWORD)',
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
  dashboardPassword: password,
  dashboardPasswordFile: passwordFile,
} satisfies SettingTable;

/** A page that says what is wrong, and goes on by itself, is more use than none: it waits unless a flag says otherwise. */
const retryForMs: Setting<number | undefined> = {
  ...databaseSettings.retryForMs,
  default: undefined,
  defaultText: 'never',
  parse: parse.optional(parse.duration),
  help: 'give up (exit 69) when the database has been away so long, such as 90s or 1h',
};

/**
 * Where the dashboard is to listen and what it asks for; to be known before anything is begun.
 * @throws UsageError when other machines would reach it without a password.
 */
export async function dashboardAccess(
  settings: Pick<SettingsOf<typeof dashboardSettings>, 'dashboardHost' | 'dashboardPassword' | 'dashboardPasswordFile'>,
): Promise<{ readonly host: string; readonly password: string | undefined }> {
  const access = {
    host: settings.dashboardHost,
    password: await readSecret([settings.dashboardPassword, password], [settings.dashboardPasswordFile, passwordFile]),
  };
  const { assertDashboardProtected } = await import('../pipeline/dashboard/server.js');
  assertDashboardProtected(access);
  return access;
}

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
    dashboardHost: {
      ...host,
      flag: '--host',
      help: 'address to listen on; 0.0.0.0 shows the page to other machines, with a password',
    },
    dashboardPassword: password,
    dashboardPasswordFile: {
      ...passwordFile,
      flag: '--password-file',
      help: 'file with the password that it asks for (or ECOMPIPE_DASHBOARD_PASSWORD)',
    },
    incomingDir: { ...incomingDir, flag: '--incoming-dir', placeholder: '<dir>', help: 'where files wait to be moved' },
    processingDir: {
      ...processingDir,
      flag: '--processing-dir',
      placeholder: '<dir>',
      help: 'where files wait to be loaded',
    },
    ...feedSettings,
    ...selectionSettings,
    ...ownDirectories,
    ...metricsSettings,
  },
  examples: [
    ['ecompipe dashboard', `on http://127.0.0.1:${DEFAULT_PORT}/ until Ctrl-C`],
    ['ecompipe dashboard --port 0 --json', 'on a free port, as JSON at the end'],
    ['ecompipe run-all', 'the pipeline and its page in one'],
  ],
  run: async ({ dashboardPort, retryForMs, ...settings }, context) => {
    const access = await dashboardAccess(settings);
    const [{ withDatabase }, { dashboardUrl, withDashboard }, { ensureSchema }] = await Promise.all([
      import('../platform/db/target.js'),
      import('../pipeline/dashboard/runDashboard.js'),
      import('../pipeline/migrate/schema.js'),
    ]);
    const { incomingDir: incoming, processingDir: processing } = settings;
    const listing = listOptions({ ...settings, feeds: await loadFeeds(settings) });
    const page = {
      ...access,
      port: dashboardPort,
      portFlag: '--port',
      incomingDir: incoming,
      processingDir: processing,
      listing,
      retryForMs,
    };
    const target = { ...settings, retryForMs: retryForMs ?? databaseSettings.retryForMs.default };
    return await withMetrics(
      settings,
      context,
      { command: 'dashboard', stages: {}, directories: { incoming, processing }, listing },
      () =>
        withDatabase(target, context, async (database) => {
          // Somebody else's database is not touched: the page says what it lacks, and goes on when it is there.
          if (database.embedded) await ensureSchema(database, context);
          return await withDashboard(page, database, context, async (server, feed) => {
            const url = dashboardUrl(server);
            context.log.info('dashboard_served', `the dashboard is on ${url} until Ctrl-C`, { url });
            await untilAborted(context.stop, feed.failed);
            feed.failed.throwIfAborted();
            return { json: { url } };
          });
        }),
    );
  },
});
