import type { Feed } from '../../../contract/feeds/feed.js';
import { dialectOf } from '../../../contract/feeds/bindFeed.js';
import { UTF_8 } from '../../../contract/feeds/encodings.js';
import { globPattern } from '../../../contract/feeds/glob.js';
import { UsageError } from '../../../platform/errors.js';
import type { FeedFormat } from './messages.js';

/**
 * What the job has to know of feeds: which files they are for, and how those are cut into fields.
 * @throws UsageError for a feed whose files only the native engine can cut.
 */
export function feedFormatsOf(feeds: readonly Feed[]): FeedFormat[] {
  const problems = feeds.flatMap((feed) => {
    const problem = unsupported(feed);
    return problem === undefined
      ? []
      : [`${feed.file}: --engine spark does not know ${problem}: load its files with --engine native`];
  });
  if (problems.length > 0) throw new UsageError(problems);
  return feeds.map((feed) => {
    const { delimiter, quote = 0 } = dialectOf(feed);
    const { header, skip, nulls } = feed.format;
    const headerLines = skip + (header === 'fromFile' ? 1 : 0);
    return { match: feed.match.map(globPattern), format: { delimiter, quote, headerLines, nulls } };
  });
}

function unsupported({ format: { type, quote, encoding } }: Feed): string | undefined {
  if (type !== 'csv') return `format.type ${type}`;
  if (encoding !== UTF_8) return `format.encoding ${encoding.name}`;
  return quote === undefined ? 'format.quote none' : undefined;
}
