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
  private readonly window: { readonly atMs: number; readonly counts: StageCounts }[] = [];

  constructor(private readonly counts: (() => StageCounts) | undefined) {}

  next(atMs: number, loaded: Omit<StageRate, 'stage'>): StageRate[] {
    const rate = this.rates(atMs);
    return [
      {
        stage: 'generate',
        rowsPerSecond: rate?.('generatedRows') ?? null,
        filesPerSecond: rate?.('generatedFiles') ?? null,
      },
      // The mover does not look into files.
      { stage: 'move', rowsPerSecond: null, filesPerSecond: rate?.('movedFiles') ?? null },
      { stage: 'stream', ...loaded },
    ];
  }

  private rates(atMs: number): ((key: keyof StageCounts) => number) | undefined {
    if (this.counts === undefined) return undefined;
    const counts = { ...this.counts() };
    this.window.push({ atMs, counts });
    while ((this.window[0]?.atMs ?? atMs) < atMs - WINDOW_MS && this.window.length > 2) this.window.shift();
    const first = this.window[0];
    if (first === undefined || first.atMs === atMs) return undefined;
    return (key) => (counts[key] - first.counts[key]) / ((atMs - first.atMs) / 1000);
  }
}
