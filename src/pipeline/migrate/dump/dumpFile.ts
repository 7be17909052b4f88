import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { EcompipeError, EXIT, UsageError, withFileErrors } from '../../../platform/errors.js';
import { DamagedGzipError, gunzipChunks } from '../../../platform/files/gzip.js';
import { printableLine } from '../../../platform/printable.js';
import type { Applied } from '../appliedMigrations.js';
import type { SchemaDescription } from './describeSchema.js';

/**
 * The file of a dump, as docs/user_guide.md describes it: lines of UTF-8, compressed by gzip if its name ends in .gz.
 *
 *     ecompipe dump 1
 *     {"createdAt": …, "postgres": …, "migrations": […], "schemas": […], "tables": […], "sequences": […], "others": […]}
 *     copy "public"."events" ("event_id", …)
 *     … rows in the text format of COPY …
 *     \.
 *     … further tables …
 *     end {"rows": {"public.events": 20000, …}, "sha256": …}
 *
 * The text format escapes every backslash, so no row is a line `\.`. The SHA-256 is of everything before the last line.
 */
export const FIRST_LINE = 'ecompipe dump 1';

export interface DumpHeader extends SchemaDescription {
  readonly createdAt: string;
  /** The server's version. */
  readonly postgres: string;
  readonly migrations: readonly Applied[];
}

/** The last line. */
export interface DumpEnd {
  readonly rows: Readonly<Record<string, number>>;
  readonly sha256: string;
}

/** Ends the rows of a table, with the end of the line before it. */
const END_OF_ROWS = Buffer.from('\n\\.\n');
/** The header grows with tables, not with rows: a longer line was not written by us. */
const MAX_LINE_BYTES = 64 * 2 ** 20;
/** RFC 1952, section 2.3.1. */
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const CHUNK_BYTES = 2 ** 18;

/** Reads a dump from its beginning to its end, and notices when that is not what was written. */
export class DumpReader {
  private buffer: Buffer = Buffer.alloc(0);
  private readonly chunks: AsyncIterator<Buffer>;
  private readonly hash = createHash('sha256');

  constructor(
    private readonly file: string,
    bytes: AsyncIterable<Buffer>,
  ) {
    this.chunks = bytes[Symbol.asyncIterator]();
  }

  /** @throws UsageError when it is not a dump, or of a format that this version does not know. */
  async readHeader(): Promise<DumpHeader> {
    const first = (await this.peekLine()) ?? '';
    if (first !== FIRST_LINE)
      throw new UsageError([
        /^ecompipe dump \d+$/.test(first)
          ? `${this.file} was written by a newer ecompipe: ${first}`
          : `${this.file} is not a dump of ecompipe db dump`,
      ]);
    this.takeLine(first);
    return this.parse(await this.readLine()) as DumpHeader;
  }

  /** The next table's `copy` line; the last line once there is none. */
  async next(): Promise<string | DumpEnd> {
    const line = await this.peekLine();
    if (line?.startsWith('copy ') === true) {
      this.takeLine(line);
      return line;
    }
    if (line?.startsWith('end ') !== true) throw this.damaged('it ends early, or was changed');
    const end = this.parse(line.slice('end '.length)) as DumpEnd;
    if (end.sha256 !== this.hash.digest('hex')) throw this.damaged('it is not what was written (SHA-256)');
    return end;
  }

  /** The rows of a table, after its `copy` line; to be read to their end. */
  async *rows(): AsyncGenerator<Buffer> {
    // The end of the `copy` line is the end of the line before the first row.
    let searched: Buffer = Buffer.concat([Buffer.from('\n'), this.buffer]);
    let isFirst = true;
    const take = (bytes: Buffer): Buffer => {
      const taken = isFirst ? bytes.subarray(1) : bytes;
      if (bytes.length > 0) isFirst = false;
      this.hash.update(taken);
      return taken;
    };
    for (;;) {
      const end = searched.indexOf(END_OF_ROWS);
      if (end >= 0) {
        yield take(searched.subarray(0, end + 1));
        this.hash.update('\\.\n');
        this.buffer = searched.subarray(end + END_OF_ROWS.length);
        return;
      }
      // What may be the beginning of the end is looked at again with what follows.
      const known = Math.max(0, searched.length - END_OF_ROWS.length + 1);
      if (known > 0) yield take(searched.subarray(0, known));
      const chunk = await this.nextChunk();
      if (chunk === undefined) throw this.damaged('it ends early');
      searched = Buffer.concat([searched.subarray(known), chunk]);
    }
  }

  private async readLine(): Promise<string> {
    const line = await this.peekLine();
    if (line === undefined) throw this.damaged('it ends early');
    this.takeLine(line);
    return line;
  }

  /** Undefined when the file ends before the line does. */
  private async peekLine(): Promise<string | undefined> {
    for (;;) {
      const end = this.buffer.indexOf('\n');
      if (end >= 0) return this.buffer.toString('utf8', 0, end);
      const chunk = this.buffer.length > MAX_LINE_BYTES ? undefined : await this.nextChunk();
      if (chunk === undefined) return undefined;
      this.buffer = Buffer.concat([this.buffer, chunk]);
    }
  }

  private takeLine(line: string): void {
    const length = Buffer.byteLength(line) + 1;
    this.hash.update(this.buffer.subarray(0, length));
    this.buffer = this.buffer.subarray(length);
  }

  private async nextChunk(): Promise<Buffer | undefined> {
    try {
      const next = await this.chunks.next();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      throw error instanceof DamagedGzipError ? this.damaged(error.message) : error;
    }
  }

  private parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      throw this.damaged('its header can not be read');
    }
  }

  damaged(why: string): EcompipeError {
    return new EcompipeError(EXIT.io, {
      what: `the dump ${printableLine(this.file)} is damaged`,
      why,
      outcome: 'nothing was restored',
      hint: 'take another copy of it, or dump again',
    });
  }
}

/** Runs `use` with a reader of the file; whether it is compressed is said by its first bytes. */
export async function withDumpReader<T>(
  file: string,
  signal: AbortSignal,
  use: (reader: DumpReader) => Promise<T>,
): Promise<T> {
  return await withFileErrors('read', file, async () => {
    const handle = await open(file, 'r');
    const magic = Buffer.alloc(2);
    try {
      await handle.read(magic, 0, 2, 0);
    } finally {
      await handle.close();
    }
    const bytes = bytesOf(file, magic.equals(GZIP_MAGIC), signal);
    try {
      return await use(new DumpReader(file, bytes));
    } finally {
      await bytes.return(undefined);
    }
  });
}

/** Opened only when the first bytes are asked for: a stream that fails while nobody reads it would end the process. */
async function* bytesOf(file: string, isCompressed: boolean, signal: AbortSignal): AsyncGenerator<Buffer> {
  const raw = createReadStream(file, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>;
  for await (const chunk of isCompressed ? gunzipChunks(raw) : raw) {
    signal.throwIfAborted();
    yield chunk;
  }
}
