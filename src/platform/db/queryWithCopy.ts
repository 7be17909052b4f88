import assert from 'node:assert/strict';
import pg from 'pg';
import { failpoint } from '../failpoint.js';
import type { Connection } from './client.js';

type Row = Record<string, unknown>;

/** What pg's connection has and @types/pg does not declare. */
interface PgConnection {
  readonly stream: { cork(): void; uncork(): void; write(bytes: Buffer): void };
}

/**
 * Several statements, the last of which is COPY … FROM STDIN, and its rows, sent without waiting until the server asks for
 * them. Where it never does, as a statement failed, it drops them (PostgreSQL manual, 55.2.6).
 */
class QueryWithCopy extends pg.Query<Row> {
  /** What a failpoint threw: an error that left a handler of pg's would end the process. */
  failure: unknown;

  constructor(
    text: string,
    private readonly messages: readonly Buffer[],
    done: (error: unknown, results: unknown) => void,
  ) {
    super({ text }, done);
  }

  /** Called by pg to send it. Corked, all of it is one system call, which wakes the server's process once. */
  override submit = (connection: pg.Connection): void => {
    const { stream } = connection as unknown as PgConnection;
    stream.cork();
    try {
      pg.Query.prototype.submit.call(this, connection);
      for (const message of this.messages) stream.write(message);
    } finally {
      stream.uncork();
    }
  };

  /** Called by pg when the server asks for the rows, which are on their way. */
  handleCopyInResponse(): void {
    try {
      failpoint('copying');
    } catch (error) {
      this.failure = error;
    }
  }
}

/** Rows and their end, as CopyData and CopyDone (PostgreSQL manual, 55.7). */
function copyMessages(chunks: Iterable<Buffer>): Buffer[] {
  const messages: Buffer[] = [];
  for (const chunk of chunks) {
    const head = Buffer.from('d\0\0\0\0');
    head.writeUInt32BE(4 + chunk.length, 1);
    messages.push(head, chunk);
  }
  return [...messages, COPY_DONE];
}

const COPY_DONE = Buffer.from('c\0\0\0\x04');

/**
 * Runs several statements, the last of which is COPY … FROM STDIN, together with its rows: one round trip.
 * @param chunks the rows. They are held in memory: no more than some hundred kilobytes.
 * @param onRow called with each row that one of the statements before answers, also where a later one fails.
 * @returns the rows that the server copied.
 */
export async function queryWithCopy(
  connection: Connection,
  sql: string,
  chunks: Iterable<Buffer>,
  onRow: (row: Row) => void,
): Promise<number> {
  const messages = copyMessages(chunks);
  const { query, error, results } = await new Promise<Answer>((resolve) => {
    const query: QueryWithCopy = new QueryWithCopy(sql, messages, (error, results) =>
      resolve({ query, error, results }),
    );
    query.on('row', onRow);
    connection.client.query(query);
  });
  const failure = query.failure ?? error;
  if (failure !== undefined && failure !== null) throw connection.explain(failure);
  const rows = ([results].flat() as pg.QueryResult[]).at(-1)?.rowCount;
  assert(typeof rows === 'number', 'the server counts the rows of a COPY');
  return rows;
}

interface Answer {
  readonly query: QueryWithCopy;
  readonly error: unknown;
  readonly results: unknown;
}
