import { terminalSize } from '../platform/terminal.js';
import { didYouMean } from '../platform/didYouMean.js';
import { EXIT, UsageError } from '../platform/errors.js';
import { defineCommand, runAction, type Actions, type CommandContext, type CommandResult } from './command.js';
import { feedsDirectory, feedSettings, loadFeeds } from './feedSettings.js';
import { databaseSettings } from './settings.js';
import type { SettingsOf } from '../platform/settings.js';

const table = { ...databaseSettings, ...feedSettings } as const;

/** Characters on a line where there is no terminal. */
const PIPED_WIDTH = 120;

type Settings = SettingsOf<typeof table>;

const ACTIONS: Actions<Settings> = {
  list: { run: list },
  show: { target: { placeholder: 'NAME', expected: 'the name of a feed' }, run: show },
  init: { target: { placeholder: 'FILE', expected: 'a file' }, run: init },
  check: { target: { placeholder: 'FILE', expected: 'a file' }, run: check },
};

export const feeds = defineCommand({
  name: 'feeds',
  args: '<action> [target]',
  summary: "other people's files: list, show NAME, init FILE, check FILE",
  settings: table,
  examples: [
    ['ecompipe feeds list', 'own and shipped feeds, and the files they are for'],
    ['ecompipe feeds show rees46', 'its text, to copy and change'],
    ['ecompipe feeds init export.csv', 'look at a file and print a feed to start from'],
    ['ecompipe feeds check export.csv', 'load it, report what would become of its rows, and roll back'],
  ],
  run: (settings, context) => runAction('feeds', ACTIONS, settings, context),
});

async function list(settings: Settings): Promise<CommandResult> {
  const [own, { readFeeds, SHIPPED_FEED_NAMES }, { padTo, textWidth }] = await Promise.all([
    loadFeeds({ ...settings, shippedFeeds: undefined }),
    import('../contract/feeds/readFeeds.js'),
    import('../platform/textWidth.js'),
  ]);
  const shipped = await readFeeds({ feedsDir: undefined, shipped: SHIPPED_FEED_NAMES });
  const used = (settings.shippedFeeds ?? '').split(',').map((name) => name.trim());
  const entries = [
    ...own.map((feed) => ({ feed, origin: 'own' })),
    ...shipped.map((feed) => ({ feed, origin: used.includes(feed.name) ? 'shipped, used' : 'shipped' })),
  ].map(({ feed, origin }) => ({ name: feed.name, origin, match: feed.match, table: feed.table }));
  const width = (of: (entry: (typeof entries)[number]) => string): number =>
    Math.max(...entries.map((entry) => textWidth(of(entry))));
  const [names, origins] = [width(({ name }) => name), width(({ origin }) => origin)];
  const lines = entries.map(
    ({ name, origin, match }) => `${padTo(name, names)}  ${padTo(origin, origins)}  ${match.join(' ')}`,
  );
  return { json: { feeds: entries }, text: lines.join('\n') };
}

/** One of one's own, or a shipped one. */
async function show(
  settings: Settings,
  _context: CommandContext,
  [name = '']: readonly string[],
): Promise<CommandResult> {
  const [directory, { listOwnFeeds, readFeedText, SHIPPED_FEEDS, SHIPPED_FEED_NAMES }] = await Promise.all([
    feedsDirectory(settings),
    import('../contract/feeds/readFeeds.js'),
  ]);
  const own = directory === undefined ? [] : await listOwnFeeds(directory);
  const found = directory !== undefined && own.includes(name) ? (await readFeedText(directory, name)).text : '';
  // An empty one is what a shell has just made of `feeds show rees46 > feeds/rees46.yaml`.
  if (found.trim() !== '') return { json: { name, text: found }, text: found.trimEnd() };
  if (!SHIPPED_FEED_NAMES.includes(name))
    throw new UsageError(
      [`feeds show ${name}: no such feed${didYouMean(name, [...own, ...SHIPPED_FEED_NAMES])}`],
      'ecompipe feeds list',
    );
  const { text } = await readFeedText(SHIPPED_FEEDS, name);
  return { json: { name, text }, text: text.trimEnd() };
}

async function init(
  _settings: Settings,
  _context: CommandContext,
  [file = '']: readonly string[],
): Promise<CommandResult> {
  const { initFeed } = await import('../pipeline/stream/feeds/initFeed.js');
  const { text, shipped } = await initFeed(file);
  return { json: { text, shipped: shipped ?? null }, text: text.trimEnd() };
}

async function check(
  settings: Settings,
  context: CommandContext,
  [file = '']: readonly string[],
): Promise<CommandResult> {
  const { assertReadable } = await import('../platform/files/assertReadable.js');
  await assertReadable(file);
  const [known, { withDatabase }, { ensureSchema }, { tryFile }, { describeTrial }] = await Promise.all([
    loadFeeds(settings),
    import('../platform/db/target.js'),
    import('../pipeline/migrate/schema.js'),
    import('../pipeline/stream/feeds/tryFile.js'),
    import('../pipeline/stream/feeds/describeTrial.js'),
  ]);
  const trial = await withDatabase(settings, context, async (database) => {
    await ensureSchema(database, context);
    return await tryFile(database, file, known);
  });
  return {
    json: trial,
    text: describeTrial(trial, terminalSize(process.stdout)?.columns ?? PIPED_WIDTH),
    exitCode: trial.rows.rejected > 0 ? EXIT.checkFailed : EXIT.done,
  };
}
