import type { Connection } from '../../platform/db/client.js';
import { quoteName } from '../../platform/db/names.js';
import { sqlStateOf } from '../../platform/db/sqlState.js';
import type { Logger } from '../../platform/log.js';
import { queryRows, text } from '../../platform/db/decodeRows.js';

/**
 * Looks whether the rows that are there meet the constraints that were added without a look; loads go on meanwhile. One
 * that they break holds for new rows all the same, so that is a warning: an adopted table keeps such rows.
 */
export async function validateConstraints({ client }: Connection, log: Logger): Promise<void> {
  const rows = await queryRows(
    client,
    { name: text },
    `select conname as name from pg_constraint
     where conrelid = 'public.events'::regclass and contype = 'c' and not convalidated
       and to_jsonb(pg_constraint) ->> 'conenforced' is distinct from 'false'
     order by conname`,
  );
  for (const { name } of rows) {
    try {
      await client.query(`alter table public.events validate constraint ${quoteName(name)}`);
    } catch (error) {
      if (sqlStateOf(error) !== '23514') throw error;
      log.warn('constraint_not_validated', `rows of public.events break ${name}: it holds for new rows only`, { name });
    }
  }
}
