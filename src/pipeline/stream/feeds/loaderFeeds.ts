import assert from 'node:assert/strict';
import type { Connection } from '../../../platform/db/client.js';
import type { BoundFeed } from '../../../contract/feeds/bindFeed.js';
import type { Header } from '../../../contract/csv/header.js';
import type { Feed } from '../../../contract/feeds/feed.js';
import { parseFeedHeader } from '../../../contract/feeds/feedHeader.js';
import { feedFor } from '../../../contract/feeds/findFeed.js';
import { UsageError } from '../../../platform/errors.js';
import { Target } from '../targetTable.js';

interface OpenFeed {
  readonly feed: Feed;
  readonly target: Target;
  /** Fields that its SQL needs, beside those that it names elsewhere. */
  readonly sqlFields: readonly string[];
}

/** The feeds of a run, checked against the database. */
export class LoaderFeeds {
  constructor(private readonly open: readonly OpenFeed[]) {}

  /** The first feed that is for files of this name. */
  find(name: string): Feed | undefined {
    return feedFor(
      name,
      this.open.map(({ feed }) => feed),
    );
  }

  parseHeader(start: Buffer, feed: Feed): Header | undefined {
    return parseFeedHeader(start, feed, this.of(feed).sqlFields);
  }

  targetOf(feed: Feed): Target {
    return this.of(feed).target;
  }

  private of(feed: Feed): OpenFeed {
    const found = this.open.find((open) => open.feed === feed);
    assert(found !== undefined, `feed ${feed.name} was checked at the start`);
    return found;
  }
}

export const NO_FEEDS = new LoaderFeeds([]);

/** The table that a batch is for. */
export function targetFor(
  { target, feeds }: { readonly target: Target; readonly feeds: LoaderFeeds },
  bound: BoundFeed | undefined,
): Target {
  return bound === undefined ? target : feeds.targetOf(bound.feed);
}

/**
 * Checks feeds against the database, and enters them into the ledger, so that what they load can be explained when their
 * files were changed.
 * @throws UsageError with all that is wrong with any of them.
 */
export async function openFeeds(connection: Connection, feeds: readonly Feed[], events: Target): Promise<LoaderFeeds> {
  if (feeds.length === 0) return NO_FEEDS;
  const { checkFeed } = await import('./checkFeed.js');
  const targets = new Map([[events.table.name, events]]);
  const problems: string[] = [];
  const open: OpenFeed[] = [];
  for (const feed of feeds) {
    const checked = await checkFeed(connection, feed);
    problems.push(...checked.problems);
    const { table, sqlFields } = checked;
    if (table === undefined) continue;
    const target = targets.get(table.name) ?? new Target(table);
    targets.set(table.name, target);
    open.push({ feed, target, sqlFields });
  }
  if (problems.length > 0) throw new UsageError(problems);
  await enterFeeds(connection, feeds);
  return new LoaderFeeds(open);
}

async function enterFeeds({ client }: Connection, feeds: readonly Feed[]): Promise<void> {
  await client.query(
    `insert into ecompipe.feeds (name, sha256, content)
     select * from unnest($1::text[], $2::bytea[], $3::text[]) on conflict (sha256) do nothing`,
    [feeds.map(({ name }) => name), feeds.map(({ sha256 }) => sha256), feeds.map(({ text }) => text)],
  );
}
