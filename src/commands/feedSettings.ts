import type { Feed } from '../contract/feeds/feed.js';
import * as parse from '../platform/parsers.js';
import type { Setting, SettingsOf, SettingTable } from '../platform/settings.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';

const feedsDir: Setting<string | undefined> = {
  flag: '--feeds',
  placeholder: '<dir>',
  env: 'FEEDS_PATH',
  default: undefined,
  defaultText: 'feeds, if there is one',
  parse: parse.optional(parse.directory),
  help: 'directory of feeds, which describe how other files become rows',
};

const shippedFeeds: Setting<string | undefined> = {
  flag: '--feed',
  placeholder: '<name>',
  env: 'ECOMPIPE_FEED',
  default: undefined,
  defaultText: 'none',
  repeatable: true,
  parse: parse.optional(parse.text),
  help: 'also use this shipped feed; may be repeated',
};

/** What stages need to know which files are theirs, and how they become rows. */
export const feedSettings = { feedsDir, shippedFeeds } satisfies SettingTable;

/** For who lists directories in which those of a loader may lie. */
export const ownDirectories = {
  archiveDir: { ...loadSettings.archiveDir, help: 'where loaded files go; --recursive never looks into it' },
  quarantineDir: { ...loadSettings.quarantineDir, help: 'where unreadable files go; --recursive never looks into it' },
  checkpointDir: {
    ...loadSettings.checkpointDir,
    help: 'directory of the checkpoint; --recursive never looks into it',
  },
} satisfies SettingTable;

/** Where one's own feeds are, if anywhere. */
export async function feedsDirectory({
  feedsDir,
}: Pick<SettingsOf<typeof feedSettings>, 'feedsDir'>): Promise<string | undefined> {
  const { findFeedsDirectory } = await import('../contract/feeds/findFeed.js');
  return feedsDir ?? (await findFeedsDirectory());
}

/** Reads the feeds that are wanted. @throws UsageError with all that is wrong with any of them. */
export async function loadFeeds(settings: SettingsOf<typeof feedSettings>): Promise<readonly Feed[]> {
  const shipped = (settings.shippedFeeds ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const feedsDir = await feedsDirectory(settings);
  if (feedsDir === undefined && shipped.length === 0) return [];
  const { readFeeds } = await import('../contract/feeds/readFeeds.js');
  return await readFeeds({ feedsDir, shipped: [...new Set(shipped)] });
}
