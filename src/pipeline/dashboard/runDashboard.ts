import { ReadOnlyClient } from '../../platform/db/readOnlyClient.js';
import type { Database } from '../../platform/db/target.js';
import type { Listening } from '../../platform/httpServer.js';
import type { Logger } from '../../platform/log.js';
import { Feed, type FeedSettings } from './feed.js';
import { RollupRefresher } from './refresh.js';
import { serveDashboard } from './server.js';

export interface DashboardSettings extends Pick<
  FeedSettings,
  'incomingDir' | 'processingDir' | 'stageCounts' | 'retryForMs'
> {
  /** Address to listen on; anything but loopback shows the figures to other machines. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Where the port comes from, for the error when it can't be had. Default: `port`. */
  readonly portFlag?: string;
}

/**
 * Serves the live page while `action` runs. Looks at the database only while somebody watches, or when it is to give up.
 * `action` learns by `failed` that looking on makes no sense; the error is its reason, and the page has it already.
 * @throws EcompipeError when the port can't be had; what `action` throws.
 */
export async function withDashboard<T>(
  settings: DashboardSettings,
  database: Database,
  { log }: { readonly log: Logger },
  action: (server: Listening, failed: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const observer = new ReadOnlyClient(database);
  const feed = new Feed(observer, { ...settings, label: database.label });
  const server = await serveDashboard(feed, { portFlag: 'port', ...settings });
  const work = [feed.run(ended.signal), new RollupRefresher(database, log).run(ended.signal, feed)];
  try {
    return await action(server, feed.failed);
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
