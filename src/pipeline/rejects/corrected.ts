import { usesRecordNumber } from '../../contract/feeds/bindFeed.js';
import type { Feed } from '../../contract/feeds/feed.js';
import type { CorrectedBatch, CorrectedRecord, CorrectedRow, RejectReason } from '../../contract/stageServices.js';
import type { Connection } from '../../platform/db/client.js';
import { boolean, bytea, integer, nullable, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';
import { clippedList } from '../../platform/clip.js';
import { elementAt } from '../../platform/elementAt.js';
import { countOf } from '../../platform/format.js';
import { printableLine } from '../../platform/printable.js';
import type { Correction } from './corrections.js';
import { REJECT_KIND } from './list.js';
import { findRecordNumbers } from './recordNumbers.js';
import { readable } from '../../contract/feeds/encodings.js';
import {
  cutRecord,
  EMPTY,
  encodingOf,
  readTexts,
  SOURCE_ROW,
  SOURCE_SQL,
  valuesOf,
  type RejectSource,
  type RejectSources,
  type SourceRow,
} from './sources.js';

/** Corrections as the loader takes them, and those that it need not see. */
export interface Prepared {
  readonly batches: readonly CorrectedBatch[];
  /** Still no row, or not corrected: why. */
  readonly refused: readonly { readonly correction: Correction; readonly reason: RejectReason }[];
  readonly resolvedBefore: number;
  readonly unknown: number;
}

interface StoredReject extends Pick<RejectReason, 'kind' | 'sqlState' | 'message'>, SourceRow {
  readonly rejectId: number;
  /** Only where the correction is compared with it. */
  readonly raw: Buffer | null;
  readonly file: string;
  readonly item: number;
  readonly isResolved: boolean;
}

const STORED_REJECT: Shape<StoredReject> = {
  ...SOURCE_ROW,
  rejectId: integer,
  kind: REJECT_KIND,
  sqlState: text,
  message: text,
  raw: nullable(bytea),
  file: text,
  item: integer,
  isResolved: boolean,
};

interface Candidate {
  readonly correction: Correction;
  readonly reject: StoredReject;
  readonly source: RejectSource;
  /** The record as it came. */
  readonly text: string | undefined;
}

/** Looks up what corrections are of, and makes the rows or records of them that load together. */
export async function prepareCorrections(
  connection: Connection,
  sources: RejectSources,
  corrections: readonly Correction[],
  directories: readonly string[],
): Promise<Prepared> {
  const stored = await readStored(connection, corrections);
  const found = corrections.flatMap((correction) => {
    const reject = stored.get(correction.rejectId);
    return reject === undefined ? [] : [{ correction, reject }];
  });
  const open = found.filter(({ reject }) => !reject.isResolved);
  const candidates = await withSources(connection, sources, open);
  const refused: { correction: Correction; reason: RejectReason }[] = [];
  const corrected = candidates.flatMap((candidate) => {
    const values = correctedValues(candidate);
    if (Array.isArray(values)) return [{ ...candidate, values }];
    refused.push({ correction: candidate.correction, reason: values });
    return [];
  });
  const numbers = await readNumbers(connection, corrected, directories);
  const numbered = corrected.filter(({ correction, reject, source }) => {
    if (!isNumbered(source) || numbers.has(reject.rejectId)) return true;
    refused.push({ correction, reason: withoutNumber(reject) });
    return false;
  });
  return {
    batches: [...groupBySource(numbered).values()].map((group) => batchOf(group, numbers)),
    refused,
    resolvedBefore: found.length - open.length,
    unknown: corrections.length - found.length,
  };
}

async function withSources(
  connection: Connection,
  sources: RejectSources,
  open: readonly { readonly correction: Correction; readonly reject: StoredReject }[],
): Promise<Candidate[]> {
  const found = await sources.of(
    connection,
    open.map(({ reject }) => reject),
  );
  const pairs = open.map((pair, index) => ({ ...pair, source: elementAt(found, index) }));
  const texts = await readTexts(
    connection,
    pairs.flatMap(({ reject, source }) => (reject.raw === null ? [] : [{ ...reject, raw: reject.raw, source }])),
  );
  return pairs.map((pair) => ({ ...pair, text: texts.get(pair.reject.rejectId) }));
}

/**
 * A text or NULL for each label of the source. Where the fields are all empty, `reject_raw` is what was corrected: its
 * fields are those that its file has. @returns why there are none; one that is as it was exported is not for the server.
 */
function correctedValues({ correction, reject, source, text }: Candidate): (string | null)[] | RejectReason {
  const foreign = [...correction.cells.keys()].filter((label) => !source.labels.includes(label));
  if (foreign.length > 0)
    return reasonFor(
      reject,
      `${source.feed === undefined ? 'events has no column' : 'its file has no field'} ${clippedList(foreign, JSON.stringify)}`,
    );
  const isByRaw = isCorrectedByRaw(correction);
  const cells = source.labels.map((label) => correction.cells.get(label) ?? EMPTY);
  if (cells.some(({ text: field }) => field.includes('\0')))
    return reasonFor(reject, 'a NUL character, which text can not hold');
  if (!isByRaw && source.fields === undefined && source.feed !== undefined)
    return reasonFor(reject, 'nobody knows the fields of its file any more; put the corrected record into a new file');
  if (!isByRaw) return valuesOf(cells, source);
  const raw = withoutLineEnd(correction.raw ?? '');
  if (raw === withoutLineEnd(text ?? readable(reject.raw ?? NO_BYTES, encodingOf(source))))
    return reasonFor(reject, `not corrected: ${reject.message}`);
  const cut = cutRecord(raw, source);
  return cut === undefined ? reasonFor(reject, stillBroken(source)) : valuesOf(cut, source);
}

function isCorrectedByRaw({ cells, raw }: Correction): boolean {
  return raw !== null && cells.size === 0;
}

const NO_BYTES = Buffer.alloc(0);

function reasonFor({ kind, sqlState }: StoredReject, message: string): RejectReason {
  return { kind, sqlState, message };
}

/** A spreadsheet may write other line ends than it read. */
function withoutLineEnd(raw: string): string {
  return raw.replaceAll('\r\n', '\n').trimEnd();
}

function stillBroken({ feed, fields }: RejectSource): string {
  if (fields === undefined)
    return feed === undefined
      ? 'its fields are not the columns of the table, or nobody knows them any more; fill in the columns instead'
      : 'nobody knows the fields of its file any more; put the corrected record into a new file';
  return `reject_raw is no ${feed === undefined ? 'row' : 'record'} of ${countOf(fields.length, 'field')}: ${fields.join(',')}`;
}

function isNumbered({ feed }: RejectSource): boolean {
  return feed?.parsed !== undefined && usesRecordNumber(feed.parsed);
}

async function readNumbers(
  connection: Connection,
  corrected: readonly Candidate[],
  directories: readonly string[],
): Promise<Map<number, number>> {
  const wanted = corrected.flatMap(({ reject: { rejectId }, source }) => {
    const feed: Feed | undefined = source.feed?.parsed;
    return feed === undefined || !isNumbered(source) ? [] : [{ rejectId, feed, fieldCount: source.labels.length }];
  });
  return wanted.length === 0 ? new Map() : await findRecordNumbers(connection, wanted, directories);
}

/** SQLSTATE no_data. */
const NO_DATA = '02000';

function withoutNumber({ kind, file }: StoredReject): RejectReason {
  return {
    kind,
    sqlState: NO_DATA,
    message: `the number of the record in its file is a part of its rows, and only the file tells it: put ${printableLine(file)} back into archive/`,
  };
}

interface Corrected extends Candidate {
  readonly values: readonly (string | null)[];
}

function groupBySource(corrected: readonly Corrected[]): Map<RejectSource | undefined, Corrected[]> {
  const groups = new Map<RejectSource | undefined, Corrected[]>();
  for (const each of corrected) {
    // Rows of events load together, whatever columns their files have.
    const key = each.source.feed === undefined ? undefined : each.source;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [each]);
    else group.push(each);
  }
  return groups;
}

function batchOf(group: readonly Corrected[], numbers: ReadonlyMap<number, number>): CorrectedBatch {
  const [first] = group;
  const feed = first?.source.feed;
  if (feed === undefined)
    return {
      feed,
      rows: group.map(({ correction: { rejectId, line }, source, values }): CorrectedRow => ({
        rejectId,
        line,
        columns: source.labels,
        fields: values,
      })),
    };
  return {
    feed: { name: feed.name, text: feed.text },
    fields: first?.source.fields ?? [],
    rows: group.map(
      ({ correction: { rejectId, line }, reject: { item, file }, source, text, values }): CorrectedRecord => {
        const original = item === 0 || text === undefined ? undefined : cutRecord(text, source);
        return {
          rejectId,
          line,
          fields: values,
          item,
          file,
          original: original === undefined ? undefined : valuesOf(original, source),
          recordNumber: numbers.get(rejectId) ?? null,
        };
      },
    ),
  };
}

async function readStored(
  { client }: Connection,
  corrections: readonly Correction[],
): Promise<Map<number, StoredReject>> {
  const idsOf = (chosen: readonly Correction[]): number[] => chosen.map(({ rejectId }) => rejectId);
  const rows = await queryRows(
    client,
    STORED_REJECT,
    `select r.reject_id, case when r.item > 0 or r.reject_id = any ($2) then r.raw end as raw, f.name as file, r.item, r.kind,
            r.sql_state, r.message, r.resolved_at is not null as is_resolved, ${SOURCE_SQL}
     from ecompipe.rejected_rows r
     join ecompipe.files f using (file_id)
     join ecompipe.batches b on b.batch_id = r.batch_id
     where r.reject_id = any ($1)`,
    [idsOf(corrections), idsOf(corrections.filter(isCorrectedByRaw))],
  );
  return new Map(rows.map((row) => [row.rejectId, row]));
}
