import { ReadOnlyClient } from '../../platform/db/readOnlyClient.js';
import type { Database } from '../../platform/db/target.js';
import type { Listening } from '../../platform/httpServer.js';
import type { Logger } from '../../platform/log.js';
import { Feed, type FeedSettings } from './feed.js';
import { RollupRefresher } from './refresh.js';
import { serveDashboard, type DashboardServerSettings } from './server.js';

export interface DashboardSettings
  extends DashboardServerSettings, Pick<FeedSettings, 'incomingDir' | 'processingDir' | 'listing' | 'stageCounts'> {}

/**
 * Serves the live page while `action` runs. Looks at the database only while somebody watches.
 * @throws UsageError without the password that the address needs; EcompipeError when the port can't be had; what `action` throws.
 */
export async function withDashboard<T>(
  settings: DashboardSettings,
  database: Database,
  { log }: { readonly log: Logger },
  action: (server: Listening) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const observer = new ReadOnlyClient(database);
  const feed = new Feed(observer, { ...settings, label: database.label });
  const server = await serveDashboard(feed, settings);
  const work = [feed.run(ended.signal), new RollupRefresher(database, log).run(ended.signal, feed)];
  try {
    return await action(server);
  } finally {
    ended.abort();
    await server.close();
    await Promise.all(work);
    await observer.close();
  }
}

/** Where a browser on this machine finds it. */
export function dashboardUrl({ host, port }: Listening): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}/`;
}
