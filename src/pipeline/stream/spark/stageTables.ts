import { randomInt } from 'node:crypto';
import type { Connection } from '../../../platform/db/client.js';
import { boolean, integer, queryRow, queryRows, text } from '../../../platform/db/decodeRows.js';
import { withTransaction } from '../../../platform/db/transaction.js';
import type { Logger } from '../../../platform/log.js';
import type { ConnectionPool } from '../connectionPool.js';
import { quoteName } from '../../../platform/db/names.js';
import type { Target } from '../targetTable.js';
import { isUtf8, stagedColumns, type Unit } from './units.js';

/** First half of the two-key advisory locks that say that a run's stage tables are in use ("spst" in ASCII). */
const LOCK_SPACE = 0x73707374;

const PREFIX = 'spark_stage_';

/** Rows carry the attempt that staged them: a session setting of each task, as a column default, costs COPY nothing. */
const ATTEMPT = "attempt bigint not null default current_setting('ecompipe.stage_attempt')::bigint";

/**
 * The unlogged tables that executors stage rows in: one for each try to stage something, so that an executor that was
 * given up and wakes up later writes where nobody looks any more. A crash of the server empties them; the merge counts.
 */
export class StageTables {
  private readonly run = randomInt(1e9);
  private created = 0;
  private readonly leftover = new Set<string>();

  constructor(
    private readonly pool: ConnectionPool,
    private readonly target: Target,
    private readonly log: Logger,
  ) {}

  /** Marks this run as alive, for as long as the connection lives, and drops the tables of runs that are not. */
  async open({ client }: Connection): Promise<void> {
    await client.query('select pg_advisory_lock($1, $2)', [LOCK_SPACE, this.run]);
    const rows = await queryRows(
      client,
      { name: text, run: integer },
      `select relname as name, split_part(relname, '_', 3)::int4 as run
       from pg_class
       where relnamespace = 'ecompipe'::regnamespace and relname ~ '^${PREFIX}[0-9]{1,9}_[0-9]+$'`,
    );
    for (const { name, run } of rows) {
      const lock = 'select pg_try_advisory_lock($1, $2) as taken';
      const { taken } = await queryRow(client, { taken: boolean }, lock, [LOCK_SPACE, run]);
      if (!taken) continue;
      this.leftover.add(`ecompipe.${name}`);
      await client.query('select pg_advisory_unlock($1, $2)', [LOCK_SPACE, run]);
    }
    await this.sweep();
  }

  async create(asText: boolean, unit: Unit): Promise<string> {
    const table = `ecompipe.${PREFIX}${this.run}_${++this.created}`;
    const columns = asText
      ? `piece integer, ordinal integer, line bigint, byte_offset bigint, defect text, broken bytea, raw ${isUtf8(unit) ? 'text' : 'bytea'}, ${stagedColumns(
          unit,
        )
          .map((name) => `${quoteName(name)} text`)
          .join(', ')}`
      : this.target.table.columns.map(({ name, type }) => `${quoteName(name)} ${type}`).join(', ');
    await this.pool.use('urgent', `cannot create ${table}`, (connection) =>
      withTransaction(connection, async () => {
        // A crash of the server may empty the table, but must not take it away: that is told to executors as a lasting error.
        await connection.client.query('set local synchronous_commit = on');
        await connection.client.query(
          `create unlogged table if not exists ${table} (${ATTEMPT}, ${columns}) with (autovacuum_enabled = false)`,
        );
      }),
    );
    return table;
  }

  /** Drops a table, or leaves that for later when somebody still has it open. */
  async drop(table: string): Promise<void> {
    this.leftover.add(table);
    await this.sweep();
  }

  private async sweep(): Promise<void> {
    for (const table of this.leftover) {
      try {
        await this.pool.use('urgent', `cannot drop ${table}`, ({ client }) =>
          client
            .query(
              `begin; set local lock_timeout = 500; set local client_min_messages = warning; drop table if exists ${table}; commit`,
            )
            .catch(async (error: unknown) => {
              await client.query('rollback').catch(() => undefined);
              throw (error as { code?: string }).code === '55P03' ? new StillOpen(table, { cause: error }) : error;
            }),
        );
        this.leftover.delete(table);
      } catch (error) {
        if (!(error instanceof StillOpen)) throw error;
        this.log.debug('stage_table_left', `${table} is still open in an executor; dropped later`);
      }
    }
  }
}

/** Not for a retry: who holds the table may be an executor that nobody hears of any more. */
class StillOpen extends Error {}
