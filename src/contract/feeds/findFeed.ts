import { stat } from 'node:fs/promises';
import { isHiddenName, isLoadableName } from '../fileNames.js';
import type { Feed } from './feed.js';
import { matchesGlob } from './glob.js';

/** The first of these feeds that is for files of this name. */
export function feedFor<F extends Pick<Feed, 'match'>>(name: string, feeds: readonly F[]): F | undefined {
  return feeds.find(({ match }) => match.some((glob) => matchesGlob(name, glob)));
}

/** Whether a file is to be moved and loaded: by the ending of its name, or because a feed is for it. Hidden ones never are. */
export function isWantedName(name: string, feeds: readonly Pick<Feed, 'match'>[]): boolean {
  return !isHiddenName(name) && (isLoadableName(name) || feedFor(name, feeds) !== undefined);
}

/** Where own feeds are when nobody says so. */
const DEFAULT_DIRECTORY = 'feeds';

/** The directory of own feeds, if there is one where it is looked for. */
export async function findFeedsDirectory(): Promise<string | undefined> {
  const stats = await stat(DEFAULT_DIRECTORY).catch(() => undefined);
  return stats?.isDirectory() === true ? DEFAULT_DIRECTORY : undefined;
}
