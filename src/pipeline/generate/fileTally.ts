import type { FileLine } from '../../contract/manifest/format.js';
import { Tally } from '../../contract/manifest/tally.js';
import { EVENT_TYPE_NAMES } from './eventTypes.js';
import type { RowFacts } from './rowWriter.js';

/** Counts what the rows of one file must become. */
export class FileTally {
  private readonly tally = new Tally(EVENT_TYPE_NAMES);
  private duplicates: Record<string, number> = {};
  private rejects: Record<string, number> = {};
  private notLoaded = 0;
  private otherIds = 0;

  reset(): void {
    this.tally.reset();
    this.duplicates = {};
    this.rejects = {};
    this.notLoaded = this.otherIds = 0;
  }

  loaded({ type, moneyCents, idHigh16, idLow32, content }: RowFacts): void {
    this.tally.add(type, moneyCents, idHigh16, idLow32, content);
  }

  /** @param isNewId the file has no other row with this id. */
  duplicate(kind: string, isNewId: boolean): void {
    this.count(this.duplicates, kind, isNewId);
  }

  /** @param isNewId the row has an id that no other row of the file has. */
  rejected(kind: string, isNewId: boolean): void {
    this.count(this.rejects, kind, isNewId);
  }

  private count(kinds: Record<string, number>, kind: string, isNewId: boolean): void {
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    this.notLoaded++;
    if (isNewId) this.otherIds++;
  }

  sums(): Pick<
    FileLine,
    'rows' | 'distinctIds' | 'loaded' | 'loadedByType' | 'idSum' | 'contentSum' | 'duplicates' | 'rejects'
  > {
    const { tally, duplicates, rejects } = this;
    return {
      rows: tally.rows + this.notLoaded,
      distinctIds: tally.rows + this.otherIds,
      loaded: tally.rows,
      loadedByType: tally.byType(),
      ...tally.fingerprint(),
      duplicates,
      rejects,
    };
  }
}
