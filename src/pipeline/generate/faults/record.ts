import { elementAt } from '../../../platform/elementAt.js';
import { EVENT_COLUMNS, type EventColumn } from '../../../contract/columns.js';
import { rowContent } from '../../../contract/manifest/checksum.js';
import { csvField } from '../rowBytes.js';
import type { RowFacts } from '../rowWriter.js';

/** A row taken apart, so that something can be done to it. NULL is ''. */
export interface EventRecord {
  readonly fields: readonly string[];
  readonly facts: RowFacts;
}

export const INDEX = Object.fromEntries(EVENT_COLUMNS.map((column, index) => [column, index])) as Readonly<
  Record<EventColumn, number>
>;

/** Takes apart a row of ours: one line, RFC 4180, with its newline. */
export function parseRow(bytes: Buffer, facts: RowFacts): EventRecord {
  const line = bytes.toString('utf8', 0, bytes.length - 1);
  const fields = line.includes('"')
    ? Array.from(
        `,${line}`.matchAll(/,(?:"((?:[^"]|"")*)"|([^,]*))/g),
        ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
      )
    : line.split(',');
  const { type, moneyCents, idHigh16, idLow32, content } = facts;
  return { fields, facts: { type, moneyCents, idHigh16, idLow32, content } };
}

export function eventIdOf({ fields }: EventRecord): string {
  return elementAt(fields, INDEX.event_id);
}

/** The same row with other values; its checksum follows. */
export function withFields(record: EventRecord, changes: Partial<Record<EventColumn, string>>): EventRecord {
  const fields = EVENT_COLUMNS.map((column, index) => changes[column] ?? elementAt(record.fields, index));
  return { fields, facts: { ...record.facts, content: rowContent(fields) } };
}

export function renderFields(fields: readonly string[], delimiter = ','): string {
  return fields.map(csvField).join(delimiter);
}
