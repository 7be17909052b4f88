import { parse } from 'csv-parse/sync';
import { frameRecords } from './frameRecords.js';
import { parseHeader } from './header.js';

/** A row of a file and the event it is about, as written there. */
export interface PlacedEvent {
  readonly eventId: string;
  /** Physical line, from 1. */
  readonly line: number;
  /** Offset of its first byte in the (decompressed) content. */
  readonly byteOffset: number;
}

/** Some bytes of a file that begin where a row begins, or at its start. */
export interface Bytes {
  readonly bytes: Buffer;
  readonly startOffset: number;
  /** Physical line of the first data byte, from 1. */
  readonly firstLine: number;
}

/**
 * The event ids of the rows in some bytes of a file; broken rows are left out.
 * @param columns those of the file; undefined: the bytes begin with the header that says so.
 * @param isWanted by a row's bytes, whether it is worth parsing.
 */
export function* eventIdsOf(
  { bytes, startOffset, firstLine }: Bytes,
  columns: readonly string[] | undefined,
  isWanted: (row: Buffer) => boolean = () => true,
): Generator<PlacedEvent> {
  const header = startOffset === 0 ? parseHeader(bytes, undefined) : undefined;
  const names = header?.columns ?? columns ?? [];
  const index = names.findIndex((name) => name === 'event_id');
  const body = bytes.subarray(header?.length ?? 0);
  for (const frame of frameRecords(body, true, header?.fieldCount ?? names.length).records) {
    const row = body.subarray(frame.start, frame.end);
    if (frame.defect !== undefined || !isWanted(row)) continue;
    const [fields = []] = parse(row, { record_delimiter: '\n' });
    yield {
      eventId: fields[index] ?? '',
      line: firstLine + frame.line,
      byteOffset: startOffset + (header?.length ?? 0) + frame.start,
    };
  }
}
