import { parseFeed } from '../../../contract/feeds/parseFeed.js';
import type { Feed } from '../../../contract/feeds/feed.js';
import type { StoredFeed } from '../../../contract/stageServices.js';
import type { Connection } from '../../../platform/db/client.js';
import { EcompipeError, EXIT } from '../../../platform/errors.js';
import type { TargetTable } from '../targetTable.js';
import { checkFeed, checkFeedWithin } from './checkFeed.js';

/** A feed as the ledger keeps it, checked against the database as that is now. */
export interface ReopenedFeed {
  readonly feed: Feed;
  readonly table: TargetTable;
  /** Fields that its SQL needs, beside those that it names elsewhere. */
  readonly sqlFields: readonly string[];
}

/**
 * Reads and checks a feed of the ledger again. @param check within the caller's transaction, or in one of its own.
 * @throws EcompipeError (2) when it does not compile any more.
 */
export async function reopenFeed(
  connection: Connection,
  { name, text }: StoredFeed,
  check: typeof checkFeed | typeof checkFeedWithin,
): Promise<ReopenedFeed> {
  const { feed, problems = [] } = parseFeed(name, `feed ${name}`, text);
  const checked = feed === undefined ? undefined : await check(connection, feed);
  const found = [...problems, ...(checked?.problems ?? [])];
  if (feed === undefined || checked?.table === undefined || found.length > 0)
    throw new EcompipeError(EXIT.usage, {
      what: `feed ${name}, as it was when it loaded, cannot be run again`,
      why: found.join('; '),
      outcome: 'nothing was changed by it',
    });
  return { feed, table: checked.table, sqlFields: checked.sqlFields };
}
