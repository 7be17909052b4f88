import { cutCells, valueOf, type Cell } from '../../contract/csv/cells.js';
import { RFC_4180 } from '../../contract/csv/dialect.js';
import { dialectOf } from '../../contract/feeds/bindFeed.js';
import { UTF_8, type Encoding, textOf } from '../../contract/feeds/encodings.js';
import type { Feed } from '../../contract/feeds/feed.js';
import { parseFeed } from '../../contract/feeds/parseFeed.js';
import type { Connection } from '../../platform/db/client.js';
import { arrayOf, integer, nullable, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';
import { labelsOf } from './labels.js';

/** What a rejected row or record is made of, and so as what it is corrected. */
export interface RejectSource {
  /** By which its file was loaded, as it was then. */
  readonly feed: { readonly name: string; readonly text: string; readonly parsed: Feed | undefined } | undefined;
  /** Columns of its file, or fields, of a feed's; undefined: nobody knows them. */
  readonly fields: readonly string[] | undefined;
  /** What a file of rejects calls them: the columns of events, or the fields. */
  readonly labels: readonly string[];
}

/** What says of a reject of which source it is: see {@link SOURCE_SQL}. */
export interface SourceRow {
  readonly feedId: number | null;
  readonly columns: readonly string[] | null;
}

/** Columns of a {@link SourceRow} over `batches b`. */
export const SOURCE_SQL = `b.feed_id, ecompipe.columns_of(b) as columns`;

export const SOURCE_ROW: Shape<SourceRow> = { feedId: nullable(integer), columns: nullable(arrayOf(text)) };

/** Sources of rejects, each read and parsed once. */
export class RejectSources {
  private readonly feeds = new Map<number, NonNullable<RejectSource['feed']>>();
  private readonly known = new Map<string, RejectSource>();

  private constructor(private readonly eventColumns: readonly string[]) {}

  static async open({ client }: Connection): Promise<RejectSources> {
    const rows = await queryRows(
      client,
      { name: text },
      `select name from ecompipe.loadable_columns('public.events') order by attnum`,
    );
    return new RejectSources(rows.map(({ name }) => name));
  }

  /** The source of each row, in order. */
  async of({ client }: Connection, rows: readonly SourceRow[]): Promise<RejectSource[]> {
    const missing = new Set(rows.flatMap(({ feedId }) => (feedId === null || this.feeds.has(feedId) ? [] : [feedId])));
    if (missing.size > 0) {
      const found = await queryRows(
        client,
        { feedId: integer, name: text, content: text },
        'select feed_id, name, content from ecompipe.feeds where feed_id = any ($1)',
        [[...missing]],
      );
      for (const { feedId, name, content } of found)
        this.feeds.set(feedId, { name, text: content, parsed: parseFeed(name, `feed ${name}`, content).feed });
    }
    return rows.map((row) => {
      const key = JSON.stringify([row.feedId, row.columns]);
      const source = this.known.get(key) ?? this.sourceOf(row);
      this.known.set(key, source);
      return source;
    });
  }

  private sourceOf({ feedId, columns }: SourceRow): RejectSource {
    const feed = feedId === null ? undefined : this.feeds.get(feedId);
    if (feed === undefined) return { feed, fields: columns ?? undefined, labels: this.eventColumns };
    const { header } = feed.parsed?.format ?? {};
    const fields = header === undefined || header === 'fromFile' ? (columns ?? undefined) : header;
    return { feed, fields, labels: labelsOf(fields ?? []) };
  }
}

export function encodingOf({ feed }: RejectSource): Encoding {
  return feed?.parsed?.format.encoding ?? UTF_8;
}

/** Texts that mean NULL where they are not quoted. */
export function nullsOf({ feed }: RejectSource): readonly string[] {
  return feed?.parsed?.format.nulls ?? [''];
}

/**
 * The fields of a record, in the order of its source's labels.
 * @returns undefined when it is no record of its file's fields, or when nobody knows those.
 */
export function cutRecord(text: string, { feed, fields, labels }: RejectSource): readonly Cell[] | undefined {
  if (fields === undefined || (feed !== undefined && feed.parsed === undefined)) return undefined;
  const cells = cutCells(text, feed?.parsed === undefined ? RFC_4180 : dialectOf(feed.parsed));
  if (cells?.length !== fields.length) return undefined;
  return feed === undefined ? labels.map((name) => cells[fields.indexOf(name)] ?? EMPTY) : cells;
}

export const EMPTY: Cell = { text: '', isQuoted: false };

export function valuesOf(cells: readonly Cell[], source: RejectSource): (string | null)[] {
  const nulls = nullsOf(source);
  return cells.map((cell) => valueOf(cell, nulls));
}

/** A reject's bytes, and what they are of. */
export interface StoredBytes {
  readonly rejectId: number;
  readonly kind: 'malformed' | 'invalid' | 'conflict';
  readonly raw: Buffer;
  readonly source: RejectSource;
}

/**
 * Texts of rejects by their numbers, as the server read them when they were loaded: it knows its encodings a little
 * differently from anybody else. Those that are none by structure or encoding are left out.
 */
export async function readTexts({ client }: Connection, rejects: readonly StoredBytes[]): Promise<Map<number, string>> {
  const texts = new Map<number, string>();
  const byEncoding = new Map<string, number[]>();
  for (const { rejectId, kind, raw, source } of rejects) {
    if (kind === 'malformed') continue;
    const encoding = encodingOf(source);
    const decoded = encoding === UTF_8 ? textOf(raw, UTF_8) : undefined;
    if (decoded !== undefined) texts.set(rejectId, decoded);
    else if (encoding !== UTF_8)
      byEncoding.set(encoding.server, [...(byEncoding.get(encoding.server) ?? []), rejectId]);
  }
  for (const [encoding, rejectIds] of byEncoding) {
    const rows = await queryRows(
      client,
      { rejectId: integer, decoded: text },
      'select reject_id, convert_from(raw, $2) as decoded from ecompipe.rejected_rows where reject_id = any ($1)',
      [rejectIds, encoding],
    );
    for (const { rejectId, decoded } of rows) texts.set(rejectId, decoded);
  }
  return texts;
}
