import { EcompipeError, errnoOf } from '../../platform/errors.js';
import { ReadOnlyClient } from '../../platform/db/readOnlyClient.js';
import type { Database } from '../../platform/db/target.js';
import type { Listening } from '../../platform/httpServer.js';
import type { Logger } from '../../platform/log.js';
import { Feed, type FeedSettings } from './feed.js';
import { refreshWhileWatched } from './watchedRefresh.js';
import { serveDashboard, type DashboardServerSettings } from './server.js';

export interface DashboardSettings
  extends
    DashboardServerSettings,
    Pick<FeedSettings, 'incomingDir' | 'processingDir' | 'listing' | 'stageCounts' | 'retryForMs'> {
  /** Take a free port when that one is taken. @default false */
  readonly orFreePort?: boolean;
}

/** Looks at directories and database for those who watch, while `action` runs. */
export async function withFeed<T>(
  settings: Omit<FeedSettings, 'label'>,
  database: Database,
  { log }: { readonly log: Logger },
  action: (feed: Feed) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const observer = new ReadOnlyClient(database);
  const feed = new Feed(observer, { ...settings, label: database.label });
  const work = [feed.run(ended.signal), refreshWhileWatched(database, log, ended.signal, feed)];
  try {
    return await action(feed);
  } finally {
    ended.abort();
    await Promise.all(work);
    await observer.close();
  }
}

/**
 * Serves the live page while `action` runs. Looks at the database only while somebody watches, or when it is to give up.
 * `action` learns by `failed` that looking on makes no sense; the error is its reason, and the page has it already.
 * @throws EcompipeError when the port can't be had; what `action` throws.
 */
export async function withDashboard<T>(
  settings: DashboardSettings,
  database: Database,
  context: { readonly log: Logger },
  action: (server: Listening, feed: Feed) => Promise<T>,
): Promise<T> {
  return await withFeed(settings, database, context, async (feed) => {
    const server = await serve(feed, settings);
    try {
      return await action(server, feed);
    } finally {
      await server.close();
    }
  });
}

async function serve(feed: Feed, { orFreePort = false, ...settings }: DashboardSettings): Promise<Listening> {
  try {
    return await serveDashboard(feed, settings);
  } catch (error) {
    const isTaken = error instanceof EcompipeError && errnoOf(error.facts.cause) === 'EADDRINUSE';
    if (!isTaken || !orFreePort) throw error;
    return await serveDashboard(feed, { ...settings, port: 0 });
  }
}

/** Where a browser on this machine finds it. */
export function dashboardUrl({ host, port }: Listening): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}/`;
}
