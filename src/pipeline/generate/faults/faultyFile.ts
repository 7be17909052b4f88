import type { FaultLine, Outcome } from '../../../contract/manifest/format.js';
import { HEADER, type FilePlan, type FileTally, type FileWriter } from '../rowTransform.js';
import type { RowFacts } from '../rowWriter.js';
import type { OutputDialect } from './dialect.js';
import { changesColumns, isQuarantined, type FileFaults } from './kinds.js';
import type { FaultyRow } from './mutations.js';
import { eventIdOf, renderFields, withFields, type EventRecord } from './record.js';

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export interface FaultyFilePlan extends FilePlan {
  readonly faults: FileFaults;
  readonly dialect: OutputDialect;
  /** Row in front of which the header is repeated, if it is. */
  readonly headerAgainAt: number;
}

/** A file under way: writes rows the way this file writes them, knows their lines, and enters them in the books. */
export class FaultyFile {
  /** Its rows may have faults of their own, and may come from other files. */
  readonly takesFaults: boolean;
  private readonly isQuarantined: boolean;
  private line = 2;

  constructor(
    readonly outline: FaultyFilePlan,
    readonly name: string,
    readonly sequence: number,
    private readonly writer: FileWriter,
    private readonly account: FileTally,
    private readonly report: (line: FaultLine) => void,
  ) {
    this.takesFaults = !changesColumns(outline.faults);
    this.isQuarantined = isQuarantined(outline.faults);
  }

  /** Leaves the row that was written last as it is. */
  keep(facts: RowFacts): void {
    const { writer } = this;
    if (this.outline.dialect.lineEnd !== '\n') {
      writer.buffer[writer.position - 1] = CARRIAGE_RETURN;
      writer.buffer[writer.position++] = NEWLINE;
    }
    this.line++;
    this.account.loaded(facts);
  }

  /** Writes a row that must be loaded. */
  load(record: EventRecord, kind?: string): void {
    if (kind !== undefined) this.note(kind, eventIdOf(record), 'loaded');
    const { render, arriving } = this.outline.dialect;
    this.put(Buffer.from(render === undefined ? renderFields(record.fields) : render(record.fields)));
    if (!this.isQuarantined)
      this.account.loaded(
        render === undefined ? record.facts : withFields({ ...record, fields: arriving(record.fields) }, {}).facts,
      );
  }

  duplicate(record: EventRecord, kind: string, isNewId: boolean): void {
    this.note(kind, eventIdOf(record), 'duplicate');
    this.put(Buffer.from(renderFields(record.fields)));
    this.account.duplicate(kind, isNewId);
  }

  reject({ bytes, eventId }: FaultyRow, kind: string, isNewId: boolean): void {
    this.note(kind, eventId, 'rejected');
    this.put(bytes);
    this.account.rejected(kind, isNewId);
  }

  repeatHeader(): void {
    this.reject({ bytes: HEADER.subarray(0, HEADER.length - 1), eventId: null }, 'repeated-header', false);
  }

  /** Notes a row that belongs here but comes later. */
  hold(record: EventRecord, kind: string): void {
    this.report({ line: 'fault', kind, file: this.name, fileLine: null, eventId: eventIdOf(record), outcome: 'held' });
  }

  /** Ends the file inside a row: so early that at least one field is missing. */
  cut(record: EventRecord, share: number): void {
    const bytes = Buffer.from(renderFields(record.fields));
    const lastComma = bytes.lastIndexOf(',');
    this.reject({ bytes: bytes.subarray(0, 1 + Math.floor(share * lastComma)), eventId: null }, 'cut-row', false);
    this.dropLineEnd();
  }

  dropLineEnd(): void {
    this.writer.position -= this.outline.dialect.lineEnd.length;
  }

  private note(kind: string, eventId: string | null, outcome: Outcome): void {
    this.report({ line: 'fault', kind, file: this.name, fileLine: this.line, eventId, outcome });
  }

  private put(bytes: Buffer): void {
    const { writer } = this;
    writer.write(bytes);
    writer.position += writer.buffer.write(this.outline.dialect.lineEnd, writer.position, 'latin1');
    this.line++;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) this.line++;
  }
}
