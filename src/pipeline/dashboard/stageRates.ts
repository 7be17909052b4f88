import { TimeWindow } from '../../platform/timeWindow.js';

/** What the stages of this process have done so far. */
export interface StageCounts {
  readonly generatedRows: number;
  readonly generatedFiles: number;
  readonly movedFiles: number;
}

/** Null: not known here. */
export interface StageRate {
  readonly stage: 'generate' | 'move' | 'stream';
  readonly rowsPerSecond: number | null;
  readonly filesPerSecond: number | null;
}

const WINDOW_MS = 10_000;

/** Speeds of the stages: those of this process by their counts, the loader's by the ledger, whoever loads. */
export class StageRates {
  private readonly window = new TimeWindow<keyof StageCounts>(WINDOW_MS);

  constructor(private readonly counts: (() => StageCounts) | undefined) {}

  /** Notes what the stages of this process have done until now. */
  count(atMs: number): void {
    if (this.counts !== undefined) this.window.add(atMs, { ...this.counts() });
  }

  rates(loaded: Omit<StageRate, 'stage'>): StageRate[] {
    const rate = (key: keyof StageCounts): number | null => this.window.perSecond(key) ?? null;
    return [
      { stage: 'generate', rowsPerSecond: rate('generatedRows'), filesPerSecond: rate('generatedFiles') },
      // The mover does not look into files.
      { stage: 'move', rowsPerSecond: null, filesPerSecond: rate('movedFiles') },
      { stage: 'stream', ...loaded },
    ];
  }
}
