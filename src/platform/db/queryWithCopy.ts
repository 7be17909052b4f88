import pg from 'pg';
import type { Connection } from './client.js';

type Row = Record<string, unknown>;

/** What pg's connection can do and @types/pg does not declare. */
interface CopyInConnection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
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
    try {
      for (const chunk of this.chunksFor(this.answered)) connection.sendCopyFromChunk(chunk);
      connection.endCopyFrom();
    } catch (error) {
      this.failure = error;
      connection.sendCopyFail('given up by the client');
    }
  }
}

/**
 * Runs several statements, the last of which is COPY … FROM STDIN, as one message: one round trip, and one for the rows.
 * @param chunksFor what to copy: called with the rows that the statements before it answered, all in one array. It is
 *   handed to the socket at once: no more than some hundred kilobytes. When it throws, so does this, and the transaction
 *   has failed.
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
  if (failure instanceof Error) throw connection.explain(failure);
  return ([results].flat() as pg.QueryResult[]).at(-1)?.rowCount ?? 0;
}

interface Answer {
  readonly query: QueryWithCopy;
  readonly error: unknown;
  readonly results: unknown;
}
