import { elementAt } from '../../../platform/elementAt.js';
import type { FaultLine } from '../../../contract/manifest/format.js';
import type { EventSource } from '../eventSource.js';
import type { FileTally, FileWriter, FileFindings, FilePlan, RowTransform } from '../rowTransform.js';
import { HOUR_MS } from '../geography.js';
import { exp } from '../math.js';
import { PURPOSE, Random, type StreamKey } from '../random.js';
import { DelayQueue } from './delayQueue.js';
import { dialectOf } from './dialect.js';
import { FaultyFile, type FaultyFilePlan } from './faultyFile.js';
import {
  changesColumns,
  drawFileFaults,
  isQuarantined,
  NO_FAULTS,
  type FileFaults,
  DIRT_KINDS,
  type FaultKind,
  type FaultRates,
  type RowKind,
} from './kinds.js';
import { MUTATIONS, type FaultyRow } from './mutations.js';
import { INDEX, parseRow, type EventRecord } from './record.js';

const LATE_HOURS = { 'late-1h': 1, 'late-24h': 24, 'late-72h': 72 } as const;
const MAX_COPIES = 77;
/** Redeliveries come within seconds mostly and within a day at last: evenly over the logarithm. */
const LN_DAY_SECONDS = 11.37;

/** A row and what shall happen to it. */
interface Drawn {
  readonly record: EventRecord;
  readonly kind: RowKind | undefined;
}

/**
 * The second pass: spoils clean rows and files at the asked rates, and tallies them. A row has one fault at
 * most. Which events are hit depends on the seed and their numbers, not on how they are cut into files.
 */
export class FaultInjector implements RowTransform {
  private readonly kinds: readonly RowKind[];
  /** Share of rows with any fault. */
  private readonly rowRate: number;
  private readonly draws: Random;
  private readonly details: Random;
  private readonly delayed = new DelayQueue();
  private batches = 0;

  private file: FaultyFile | undefined;
  private rowsSeen = 0;
  /** A row that waits for the next one to go first. */
  private swapping: EventRecord | undefined;
  /** In a file that ends inside a row: the latest row, which may be that one. */
  private tail: Drawn | undefined;
  private conflicts: FaultyRow[] = [];

  constructor(
    private readonly rates: FaultRates,
    private readonly key: StreamKey,
    private readonly report: (line: FaultLine) => void,
  ) {
    this.kinds = (Object.keys(rates) as FaultKind[]).filter((kind): kind is RowKind => DIRT_KINDS[kind].unit === 'row');
    this.rowRate = this.kinds.reduce((sum, kind) => sum + (rates[kind] ?? 0), 0);
    this.draws = new Random(key, PURPOSE.dirt);
    this.details = new Random(key, PURPOSE.dirt, 1);
  }

  get pending(): number {
    return this.delayed.length;
  }

  outlines(events: number, isFinal: boolean): readonly FilePlan[] {
    const batch = this.batches++;
    const random = new Random(this.key, PURPOSE.file, 2 ** 40 + batch);
    const drawn = events === 0 ? NO_FAULTS : drawFileFaults(this.rates, this.key, batch);
    const { main, lines } = drawn;
    if (main === 'empty' || main === 'header-only') {
      return [
        outlineOf({ main, lines }, 0, false, random),
        outlineOf({ main: undefined, lines }, events, isFinal, random),
      ];
    }
    // The final file takes all that was held back: it can be none that changes its rows' columns.
    return [outlineOf(isFinal && changesColumns(drawn) ? NO_FAULTS : drawn, events, isFinal, random)];
  }

  begin(
    outline: FilePlan,
    { name, sequence }: { readonly name: string; readonly sequence: number },
    writer: FileWriter,
    account: FileTally,
  ): void {
    this.file = new FaultyFile(outline as FaultyFilePlan, name, sequence, writer, account, this.report);
    this.rowsSeen = 0;
  }

  row(source: EventSource, start: number, writer: FileWriter): void {
    const file = this.file as FaultyFile;
    const { faults, headerAgainAt } = file.outline;
    const kind = this.drawKind();
    const headerIsDue = faults.main === 'repeated-header' && this.rowsSeen === headerAgainAt;
    this.rowsSeen++;
    const isUntouched =
      kind === undefined &&
      this.swapping === undefined &&
      !headerIsDue &&
      faults.main !== 'cut-row' &&
      !this.delayed.isDue(source.timeMs);
    if (file.takesFaults && isUntouched) {
      file.keep(source.writer);
      return;
    }
    const record = parseRow(Buffer.from(writer.buffer.subarray(start, writer.position)), source.writer);
    writer.position = start;
    if (!file.takesFaults) {
      file.load(record);
      return;
    }
    if (headerIsDue) file.repeatHeader();
    this.deliverDue(file, source.timeMs);
    this.details.restart(this.key, PURPOSE.dirt, source.count);
    if (faults.main !== 'cut-row') {
      this.place(file, { record, kind });
      return;
    }
    const earlier = this.tail;
    this.tail = { record, kind };
    if (earlier !== undefined) this.place(file, earlier);
  }

  finish(writer: FileWriter): FileFindings {
    const file = this.file as FaultyFile;
    const { faults, isFinal } = file.outline;
    if (this.swapping !== undefined) file.load(this.swapping);
    this.swapping = undefined;
    if (isFinal) this.deliverDue(file, Infinity);
    for (const conflict of this.conflicts) file.reject(conflict, 'conflict', false);
    this.conflicts = [];
    const fileFaults: FaultKind[] = [...faults.lines];
    if (this.tail !== undefined) file.cut(this.tail.record, this.details.unit());
    else if (faults.lines.includes('no-last-newline') && writer.position > 0) file.dropLineEnd();
    const isApplied =
      faults.main !== undefined &&
      (faults.main !== 'cut-row' || this.tail !== undefined) &&
      (faults.main !== 'repeated-header' || this.rowsSeen > file.outline.headerAgainAt);
    if (isApplied) fileFaults.unshift(faults.main);
    this.tail = undefined;
    return { quarantined: isQuarantined(faults) ? (faults.main ?? null) : null, fileFaults };
  }

  /** One draw for every event, so that a fault on one moves no other. */
  private drawKind(): RowKind | undefined {
    let rest = this.draws.unit();
    if (rest >= this.rowRate) return undefined;
    for (const kind of this.kinds) {
      rest -= this.rates[kind] ?? 0;
      if (rest < 0) return kind;
    }
    return undefined;
  }

  private place(file: FaultyFile, { record, kind }: Drawn): void {
    if (this.swapping !== undefined) {
      file.load(record);
      file.load(this.swapping, 'swapped');
      this.swapping = undefined;
      return;
    }
    switch (kind) {
      case undefined:
        file.load(record);
        return;
      case 'swapped':
        this.swapping = record;
        return;
      case 'late-1h':
      case 'late-24h':
      case 'late-72h':
        file.hold(record, kind);
        this.delayed.add({ kind, record, dueMs: timeOf(record) + LATE_HOURS[kind] * HOUR_MS, origin: file.sequence });
        return;
      case 'redelivery':
        file.load(record);
        this.delayed.add({
          kind,
          record,
          dueMs: timeOf(record) + Math.round(1000 * exp(this.details.unit() * LN_DAY_SECONDS)),
          origin: file.sequence,
        });
        return;
      case 'burst':
        file.load(record);
        for (let copies = 1 + this.details.below(1 + this.details.below(MAX_COPIES)); copies > 0; copies--)
          file.duplicate(record, kind, false);
        return;
      case 'conflict':
        file.load(record);
        this.conflict(file, MUTATIONS.conflict(record, this.details));
        return;
      default:
        this.mutate(file, record, kind);
    }
  }

  private mutate(file: FaultyFile, record: EventRecord, kind: Exclude<keyof typeof MUTATIONS, 'conflict'>): void {
    const faultyRow = MUTATIONS[kind](record, this.details);
    if (DIRT_KINDS[kind].outcome === 'loaded' && faultyRow.record !== undefined) file.load(faultyRow.record, kind);
    else file.reject(faultyRow, kind, faultyRow.eventId !== null);
  }

  /** In the same file, at once or at its end: which of two contradicting rows wins must not depend on the order of files. */
  private conflict(file: FaultyFile, faultyRow: FaultyRow): void {
    if (this.details.chance(0.5)) file.reject(faultyRow, 'conflict', false);
    else this.conflicts.push(faultyRow);
  }

  private deliverDue(file: FaultyFile, nowMs: number): void {
    for (let due = this.delayed.takeDue(nowMs); due !== undefined; due = this.delayed.takeDue(nowMs)) {
      if (due.kind === 'redelivery') file.duplicate(due.record, due.kind, due.origin !== file.sequence);
      else file.load(due.record, due.kind);
    }
  }
}

function outlineOf(faults: FileFaults, events: number, isFinal: boolean, random: Random): FaultyFilePlan {
  const dialect = dialectOf(faults, random);
  return {
    faults,
    dialect,
    events,
    ending: dialect.ending,
    twice: faults.main === 'redelivered-file',
    header: faults.main === 'empty' ? Buffer.alloc(0) : dialect.header,
    encode: dialect.encode,
    isFinal,
    headerAgainAt: random.below(Math.max(1, events)),
  };
}

function timeOf({ fields }: EventRecord): number {
  return Date.parse(elementAt(fields, INDEX.event_time));
}
