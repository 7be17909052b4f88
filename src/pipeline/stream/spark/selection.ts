import { dialectOf } from '../../../contract/feeds/bindFeed.js';
import type { Feed } from '../../../contract/feeds/feed.js';
import { globPattern } from '../../../contract/feeds/glob.js';
import { listOptions } from '../../../contract/listFiles.js';
import type { StreamSettings } from '../streamEvents.js';
import type { FeedFormat, Glob, Selection } from './messages.js';
import { placeOf } from './remoteFileDisposer.js';

/** What the job has to know to list the directory, and to cut what it finds there. */
export function selectionOf(settings: StreamSettings): Selection {
  const { recursive = false, include = [], exclude = [], ownDirs = [] } = listOptions(settings);
  return {
    feeds: (settings.feeds ?? []).map(formatOf),
    recursive,
    include: include.map(globOf),
    exclude: exclude.map(globOf),
    ownDirs: ownDirs.map(placeOf),
  };
}

function formatOf(feed: Feed): FeedFormat {
  const { header, skip, nulls, encoding } = feed.format;
  const headerLines = skip + (header === 'fromFile' ? 1 : 0);
  return {
    match: feed.match.map(globOf),
    format: { ...dialectOf(feed), headerLines, nulls, encoding: encoding.server },
  };
}

/** As matchesGlob reads it. */
function globOf(glob: string): Glob {
  return { expression: globPattern(glob), isOfPath: glob.includes('/') };
}
