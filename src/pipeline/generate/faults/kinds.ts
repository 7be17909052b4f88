import { didYouMean } from '../../../platform/didYouMean.js';
import { InvalidValueError } from '../../../platform/settings.js';
import { PURPOSE, Random, type StreamKey } from '../random.js';

/** What a fault falls on, how often under `--dirt dirty`, and what must become of it. */
interface Kind {
  readonly unit: 'row' | 'file';
  /** Share of the rows or files. Of files: the Pollock survey of 3,712 real ones (PVLDB 2023). Of rows: Segment, Snowplow, GA4 and the REES46 feeds where published, else judged. */
  readonly rate: number;
  /** `quarantined` and `redelivery` are of whole files. */
  readonly outcome: 'loaded' | 'duplicate' | 'rejected' | 'quarantined' | 'redelivery';
  readonly what: string;
}

/** Every kind of fault, in the order of `--help` and of the documents. */
export const DIRT_KINDS = {
  redelivery: { unit: 'row', rate: 0.006, outcome: 'duplicate', what: 'the same row again, seconds to a day later' },
  burst: { unit: 'row', rate: 0.0002, outcome: 'duplicate', what: '2 to 78 copies at once' },
  conflict: { unit: 'row', rate: 0.0005, outcome: 'rejected', what: 'the same event_id with other content' },
  'late-1h': { unit: 'row', rate: 0.01, outcome: 'loaded', what: 'delivered an hour late' },
  'late-24h': { unit: 'row', rate: 0.002, outcome: 'loaded', what: 'delivered a day late' },
  'late-72h': { unit: 'row', rate: 0.0002, outcome: 'loaded', what: 'delivered three days late' },
  swapped: { unit: 'row', rate: 0.02, outcome: 'loaded', what: 'swapped with the next row' },
  'wrong-type': { unit: 'row', rate: 0.001, outcome: 'rejected', what: 'N/A, 1.299,00 or two instead of a number' },
  negative: { unit: 'row', rate: 0.0005, outcome: 'rejected', what: 'a negative price or quantity' },
  'unknown-event-type': { unit: 'row', rate: 0.0005, outcome: 'rejected', what: 'an unknown event type' },
  'missing-required': { unit: 'row', rate: 0.0005, outcome: 'rejected', what: 'a required column left empty' },
  'unreadable-time': { unit: 'row', rate: 0.0005, outcome: 'rejected', what: 'an invalid timestamp' },
  'field-count': { unit: 'row', rate: 0.0005, outcome: 'rejected', what: 'one field too few or too many' },
  'stray-quote': { unit: 'row', rate: 0.0001, outcome: 'rejected', what: 'an unmatched quote' },
  'odd-text': {
    unit: 'row',
    rate: 0.003,
    outcome: 'loaded',
    what: 'commas, newlines, quotes and any Unicode in a quoted field',
  },
  'invalid-utf8': { unit: 'row', rate: 0.0001, outcome: 'rejected', what: 'invalid UTF-8' },
  nul: { unit: 'row', rate: 0.0001, outcome: 'rejected', what: 'a NUL character' },

  bom: { unit: 'file', rate: 0.045, outcome: 'loaded', what: 'starts with a byte order mark' },
  crlf: { unit: 'file', rate: 0.45, outcome: 'loaded', what: 'lines end with CR LF' },
  'no-last-newline': { unit: 'file', rate: 0.05, outcome: 'loaded', what: 'no newline after the last line' },
  'cut-row': { unit: 'file', rate: 0.01, outcome: 'rejected', what: 'ends inside its last row; only that row is lost' },
  'repeated-header': {
    unit: 'file',
    rate: 0.01,
    outcome: 'rejected',
    what: 'the header again in the middle; only that line is rejected',
  },
  empty: { unit: 'file', rate: 0.004, outcome: 'loaded', what: 'an extra file of 0 bytes' },
  'header-only': { unit: 'file', rate: 0.001, outcome: 'loaded', what: 'an extra file without rows' },
  'redelivered-file': {
    unit: 'file',
    rate: 0.01,
    outcome: 'redelivery',
    what: 'the same bytes again under another name',
  },
  'reordered-columns': { unit: 'file', rate: 0.005, outcome: 'loaded', what: 'columns in another order' },
  'missing-optional-column': {
    unit: 'file',
    rate: 0.005,
    outcome: 'loaded',
    what: 'without an optional column',
  },
  'missing-required-column': {
    unit: 'file',
    rate: 0.002,
    outcome: 'quarantined',
    what: 'without a required column',
  },
  'unknown-column': { unit: 'file', rate: 0.002, outcome: 'quarantined', what: 'with an unknown column' },
  'duplicate-column': { unit: 'file', rate: 0.002, outcome: 'quarantined', what: 'with a column that occurs twice' },
  'renamed-column': { unit: 'file', rate: 0.002, outcome: 'quarantined', what: 'with a column of another name' },
  'other-delimiter': { unit: 'file', rate: 0.002, outcome: 'quarantined', what: 'fields separated by semicolons' },
  'utf-16': { unit: 'file', rate: 0.002, outcome: 'quarantined', what: 'UTF-16 instead of UTF-8' },
  'truncated-gzip': { unit: 'file', rate: 0.002, outcome: 'quarantined', what: 'compressed, and truncated' },
} as const satisfies Readonly<Record<string, Kind>>;

export type FaultKind = keyof typeof DIRT_KINDS;
type KindsOf<Unit> = { [K in FaultKind]: (typeof DIRT_KINDS)[K]['unit'] extends Unit ? K : never }[FaultKind];
export type RowKind = KindsOf<'row'>;
export type FileKind = KindsOf<'file'>;

/** Rates by kind, only of kinds that shall occur. */
export type FaultRates = Readonly<Partial<Record<FaultKind, number>>>;

const KIND_NAMES = Object.keys(DIRT_KINDS) as FaultKind[];

/** Parses `clean`, `dirty` or `kind=rate,…` with rates from 0 to 1 or in percent. @throws InvalidValueError */
export function parseFaults(text: string): FaultRates {
  if (text === 'clean') return {};
  if (text === 'dirty') return Object.fromEntries(KIND_NAMES.map((kind) => [kind, DIRT_KINDS[kind].rate]));
  const rates: Partial<Record<FaultKind, number>> = {};
  const problems: string[] = [];
  for (const part of text.split(',')) {
    const [name = '', rate = '', ...rest] = part.split('=').map((word) => word.trim());
    const kind = KIND_NAMES.find((known) => known === name);
    const value =
      /^\d*\.?\d+%?$/.test(rate) && rest.length === 0
        ? rate.endsWith('%')
          ? Number(rate.slice(0, -1)) / 100
          : Number(rate)
        : Number.NaN;
    if (kind === undefined)
      problems.push(
        `there is no fault called ${JSON.stringify(name)}${didYouMean(name, KIND_NAMES)}; say clean, dirty, or some of ${KIND_NAMES.join(', ')}`,
      );
    else if (!(value >= 0 && value <= 1))
      problems.push(`${kind} needs a rate from 0 to 1, or a percentage: ${kind}=0.01`);
    else if (kind in rates) problems.push(`${kind} is given twice`);
    else rates[kind] = value;
  }
  const rowRates = KIND_NAMES.filter((kind) => DIRT_KINDS[kind].unit === 'row').reduce(
    (sum, kind) => sum + (rates[kind] ?? 0),
    0,
  );
  if (rowRates > 1) problems.push('a row has at most one fault, so the rates of row faults can add up to 1 at most');
  if (problems.length > 0)
    throw new InvalidValueError(`${problems.join('; ')}${problems.length === 1 ? '' : ' (or say clean or dirty)'}`);
  return rates;
}

/** What is wrong with a file: at most one `main` fault, and ways of writing lines that any file may have. */
export interface FileFaults {
  readonly main: Exclude<FileKind, LineKind> | undefined;
  readonly lines: readonly LineKind[];
}

const LINE_KINDS = ['bom', 'crlf', 'no-last-newline'] as const;
type LineKind = (typeof LINE_KINDS)[number];

export const NO_FAULTS: FileFaults = { main: undefined, lines: [] };

const MAIN_KINDS = (Object.keys(DIRT_KINDS) as FaultKind[]).filter(
  (kind): kind is NonNullable<FileFaults['main']> =>
    DIRT_KINDS[kind].unit === 'file' && !(LINE_KINDS as readonly FaultKind[]).includes(kind),
);

/** Kinds that change what the columns of every row are. Their rows get no fault of their own. */
export function changesColumns({ main }: FileFaults): boolean {
  return main === 'reordered-columns' || main === 'missing-optional-column' || isQuarantined({ main });
}

export function isQuarantined({ main }: Pick<FileFaults, 'main'>): boolean {
  return main !== undefined && DIRT_KINDS[main].outcome === 'quarantined';
}

/** Draws the faults of a run's `batch`-th file. */
export function drawFileFaults(rates: FaultRates, key: StreamKey, batch: number): FileFaults {
  const random = new Random(key, PURPOSE.file, batch);
  let rest = random.unit();
  const main = MAIN_KINDS.find((kind) => (rest -= rates[kind] ?? 0) < 0);
  const lines = LINE_KINDS.filter((kind) => random.chance(rates[kind] ?? 0));
  return { main, lines: isQuarantined({ main }) ? [] : lines };
}
