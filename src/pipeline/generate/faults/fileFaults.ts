import { PURPOSE, Random, type StreamKey } from '../random.js';
import { DIRT_KINDS, type FaultKind, type FaultRates, type FileKind } from './kinds.js';

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
