import assert from 'node:assert/strict';
import pg from 'pg';
import { failpoint } from '../failpoint.js';
import type { Connection } from './client.js';

type Row = Record<string, unknown>;

/** What pg's connection has and @types/pg does not declare. */
interface CopyInConnection {
  readonly stream: { write(bytes: Buffer): void };
  sendCopyFail(message: string): void;
}

/** pg runs several statements in one query, but has no rows for a COPY … FROM STDIN among them: here they are. */
class QueryWithCopy extends pg.Query<Row> {
  private readonly answered: Row[] = [];
  /** What `chunksFor` threw: the server only says that the COPY was given up. */
  failure: unknown;

  constructor(
    text: string,
    private readonly chunksFor: (answered: readonly Row[]) => Iterable<Buffer>,
    done: (error: unknown, results: unknown) => void,
  ) {
    super({ text }, done);
    this.on('row', (row) => this.answered.push(row));
  }

  /** Called by pg when the server is ready for the rows. An error that left here would end the process. */
  handleCopyInResponse(connection: CopyInConnection): void {
    let messages: Buffer | undefined;
    try {
      messages = copyMessages(this.chunksFor(this.answered));
      connection.stream.write(messages);
      failpoint('copying');
    } catch (error) {
      this.failure = error;
      if (messages === undefined) connection.sendCopyFail('given up by the client');
    }
  }
}

/**
 * Rows and their end, as CopyData and CopyDone (PostgreSQL manual, 55.7), for one write: pg makes one of each, and each is a
 * system call that wakes the server's process.
 */
function copyMessages(chunks: Iterable<Buffer>): Buffer {
  const pieces: Buffer[] = [];
  for (const chunk of chunks) {
    const head = Buffer.from('d\0\0\0\0');
    head.writeUInt32BE(4 + chunk.length, 1);
    pieces.push(head, chunk);
  }
  return Buffer.concat([...pieces, COPY_DONE]);
}

const COPY_DONE = Buffer.from('c\0\0\0\x04');

/**
 * Runs several statements, the last of which is COPY … FROM STDIN, as one message: one round trip, and one for the rows.
 * @param chunksFor what to copy: called with the rows that the statements before it answered, all in one array. It is
 *   sent as a whole: no more than some hundred kilobytes. When it throws, so does this, and the transaction has failed.
 * @returns the rows that the server copied.
 */
export async function queryWithCopy(
  connection: Connection,
  sql: string,
  chunksFor: (answered: readonly Row[]) => Iterable<Buffer>,
): Promise<number> {
  const { query, error, results } = await new Promise<Answer>((resolve) => {
    const query: QueryWithCopy = new QueryWithCopy(sql, chunksFor, (error, results) =>
      resolve({ query, error, results }),
    );
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
