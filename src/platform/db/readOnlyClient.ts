import type pg from 'pg';
import { EcompipeError, EXIT } from '../errors.js';
import type { Connection } from './client.js';
import type { RawDatabaseSettings } from './connectionSettings.js';
import { explainFailure, unavailableError } from './errors.js';
import { queryRows, type Shape } from './decodeRows.js';
import { isCancelled } from './sqlState.js';
import { withExistingDatabase, type Database, type TargetContext } from './target.js';

/**
 * A server that is stopped or out of reach must not stop those who only look. The server gives a statement up a little
 * earlier than we do: one that waits for a lock would stay behind, and with each look another one.
 */
const QUERY_TIMEOUT_MS = 10_000;
const STATEMENT_TIMEOUT_MS = 9000;

/** Runs a query and checks its rows; a statement without any has the shape `{}`. */
export type QueryFn = <Row>(shape: Shape<Row>, sql: string, values?: readonly unknown[]) => Promise<Row[]>;

/**
 * A connection for those who look on: opened at the first question, replaced after a failure. It never retries: for
 * whoever looks again and again, the next look is the retry.
 */
export class ReadOnlyClient {
  private connection: Connection | undefined;

  constructor(private readonly database: Database) {}

  /** @throws DatabaseError (69 while the database is away, 2 or 77 when only a person can help). */
  async run<T>(what: string, action: (ask: QueryFn) => Promise<T>): Promise<T> {
    try {
      if (this.connection?.broken === true) this.discard();
      const { client } = (this.connection ??= await this.open());
      return await action(async <Row>(shape: Shape<Row>, text: string, values: readonly unknown[] = []) => {
        const query = { text, values: [...values], query_timeout: QUERY_TIMEOUT_MS };
        return await queryRows(client, shape, query);
      });
    } catch (error) {
      this.discard();
      const label = `${what} (PostgreSQL at ${this.database.label})`;
      throw isCancelled(error) ? unavailableError(label, error, 0) : explainFailure(label, error);
    }
  }

  private async open(): Promise<Connection> {
    const connection = await this.database.openUnwatched();
    await connection.client.query({
      text: `select pg_catalog.set_config('statement_timeout', '${STATEMENT_TIMEOUT_MS}', false)`,
      query_timeout: QUERY_TIMEOUT_MS,
    } as pg.QueryConfig);
    return connection;
  }

  async close(): Promise<void> {
    const { connection } = this;
    this.connection = undefined;
    await connection?.close();
  }

  /** Not waited for: a server that hangs would not say goodbye. */
  private discard(): void {
    void this.close();
  }
}

/** A database to look at, or why there is none. */
export interface Observed {
  /** For people: where it is; no password. */
  readonly label: string;
  readonly observer: ReadOnlyClient | EcompipeError;
}

/**
 * Runs `action` with an observer of the configured or the embedded database. Looking on must not create anything: where
 * there is no embedded database yet, or it can't be started, the action gets the reason instead.
 */
export async function withObserver<T>(
  settings: RawDatabaseSettings & { readonly embeddedDir: string },
  context: TargetContext,
  action: (observed: Observed) => Promise<T>,
): Promise<T> {
  const label = `the embedded PostgreSQL in ${settings.embeddedDir}`;
  const state = { entered: false };
  try {
    return await withExistingDatabase({ ...settings, retryForMs: 0 }, context, async (database) => {
      state.entered = true;
      const observer = new ReadOnlyClient(database);
      try {
        return await action({ label: database.label, observer });
      } finally {
        await observer.close();
      }
    });
  } catch (error) {
    if (state.entered || !(error instanceof EcompipeError) || error.exitCode === EXIT.usage) throw error;
    return await action({ label, observer: error });
  }
}

/**
 * Asks what reads the more the more there is, and gives up in time: undefined when the tables were too large for it. The
 * settings end with the transaction, so a pooler may give the connection to others.
 */
export async function askWithin<T>(ask: QueryFn, timeoutMs: number, action: () => Promise<T>): Promise<T | undefined> {
  await ask({}, 'begin read only');
  try {
    // The planner can't know how few block ranges hold the newest rows, and compiling takes longer than most answers.
    await ask(
      {},
      `select set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`,
      [String(timeoutMs)],
    );
    return await action();
  } catch (error) {
    if (isCancelled(error)) return undefined;
    throw error;
  } finally {
    // A connection that is lost has nothing to roll back; the reason is on its way already.
    await ask({}, 'rollback').catch(() => undefined);
  }
}
