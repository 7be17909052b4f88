import { bindFeed } from '../../../contract/feeds/bindFeed.js';
import { LF } from '../../../contract/csv/bytes.js';
import type { Feed } from '../../../contract/feeds/feed.js';
import { fieldNamesOf } from '../../../contract/feeds/feedHeader.js';
import { expressionNames } from '../../../contract/feeds/bindFeed.js';

let shipped: Promise<Feed[]> | undefined;

/** All feeds of the package. */
export async function shippedFeeds(): Promise<readonly Feed[]> {
  shipped ??= readShipped();
  return await shipped;
}

/** With the parser of YAML, which is as much code as all of the loader: most runs need neither. */
async function readShipped(): Promise<Feed[]> {
  const { readFeeds, SHIPPED_FEED_NAMES } = await import('../../../contract/feeds/readFeeds.js');
  return await readFeeds({ feedsDir: undefined, shipped: SHIPPED_FEED_NAMES });
}

/** Shipped feeds whose fields are all in the header that a file begins with; those with most fields first. */
export async function fittingShipped(start: Buffer): Promise<readonly Feed[]> {
  const fitting: { feed: Feed; used: number }[] = [];
  for (const feed of await shippedFeeds()) {
    if (feed.format.header !== 'fromFile') continue;
    try {
      const fields = fieldNamesOf(start, feed);
      if (fields === undefined) continue;
      const quoted = [...expressionNames(feed)].filter((name) => /[^a-z0-9_]/.test(name));
      const { unused } = bindFeed(feed, fields, quoted);
      fitting.push({ feed, used: fields.length - unused.length });
    } catch {
      // Not this one.
    }
  }
  return fitting.sort((a, b) => b.used - a.used).map(({ feed }) => feed);
}

/** No shipped feed's header is as long: a longer one is not worth splitting for each of them. */
const MAX_SHIPPED_HEADER_BYTES = 8192;

/** The end of a message about a header that does not fit: which shipped feed it does fit, if any. */
export async function hintOfShipped(start: Buffer): Promise<string> {
  if (start.length > MAX_SHIPPED_HEADER_BYTES && !start.subarray(0, MAX_SHIPPED_HEADER_BYTES).includes(LF)) return '';
  const [feed] = await fittingShipped(start);
  return feed === undefined
    ? ''
    : `; the header is that of the shipped feed ${feed.name}: use --feed ${feed.name} for files named ${feed.match.join(' or ')}, or copy it (ecompipe feeds show ${feed.name}) and change match:`;
}
