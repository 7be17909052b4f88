import { readdir, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { didYouMean } from '../../platform/didYouMean.js';
import { UsageError, withFileErrors } from '../../platform/errors.js';
import type { Feed } from './feed.js';
import { parseFeed } from './parseFeed.js';

/** The `feeds` directory of the package, next to `dist` and `src`. */
export const SHIPPED_FEEDS = fileURLToPath(new URL('../../../feeds', import.meta.url));

/** The feeds of the package. By name: in a clone, where its directory is also that of one's own feeds, they are told apart. */
export const SHIPPED_FEED_NAMES: readonly string[] = [
  'ga4-flat',
  'otto',
  'rees46',
  'retailrocket',
  'segment-tracks',
  'shopify-orders',
  'taobao-user-behavior',
  'uci-online-retail',
];

/** Names of one's own feeds in a directory, in order. */
export async function listOwnFeeds(directory: string): Promise<string[]> {
  const [entries, isShipped] = await withFileErrors('list the feeds in', directory, () =>
    Promise.all([readdir(directory), isShippedDirectory(directory)]),
  );
  return entries
    .filter((name) => /^[^.].*\.ya?ml$/i.test(name))
    .map((name) => name.replace(/\.ya?ml$/i, ''))
    .filter((name) => !isShipped || !SHIPPED_FEED_NAMES.includes(name))
    .sort();
}

async function isShippedDirectory(directory: string): Promise<boolean> {
  return (await realpath(directory)) === (await realpath(SHIPPED_FEEDS));
}

/** A feed's text and where it is. */
export async function readFeedText(directory: string, name: string): Promise<{ file: string; text: string }> {
  for (const ending of ['yaml', 'yml', 'YAML', 'YML']) {
    const file = path.join(directory, `${name}.${ending}`);
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    if (text !== undefined) return { file, text };
  }
  return await withFileErrors('read the feed', path.join(directory, name), () =>
    Promise.reject(new Error('it is gone')),
  );
}

/** Which feeds a run uses. */
export interface FeedSettings {
  /** Directory with feeds of one's own; undefined: none. */
  readonly feedsDir: string | undefined;
  /** Names of shipped feeds. */
  readonly shipped: readonly string[];
}

/**
 * Reads feeds: those of one's own first, by name, then the shipped ones that are asked for.
 * @throws UsageError with all that is wrong with any of them.
 */
export async function readFeeds({ feedsDir, shipped }: FeedSettings): Promise<Feed[]> {
  const problems = shipped
    .filter((name) => !SHIPPED_FEED_NAMES.includes(name))
    .map(
      (name) =>
        `--feed ${name}: no such feed is shipped${didYouMean(name, SHIPPED_FEED_NAMES) || `; there are ${SHIPPED_FEED_NAMES.join(', ')}`}`,
    );
  const own =
    feedsDir === undefined ? [] : (await listOwnFeeds(feedsDir)).map((name) => ({ directory: feedsDir, name }));
  const wanted = [
    ...own,
    ...shipped.filter((name) => SHIPPED_FEED_NAMES.includes(name)).map((name) => ({ directory: SHIPPED_FEEDS, name })),
  ];
  const feeds: Feed[] = [];
  for (const { directory, name } of wanted) {
    const { file, text } = await readFeedText(directory, name);
    const parsed = parseFeed(name, file, text);
    if (parsed.feed === undefined) problems.push(...parsed.problems);
    else feeds.push(parsed.feed);
  }
  if (problems.length > 0) throw new UsageError(problems);
  return feeds;
}
