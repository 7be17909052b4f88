import { countOf } from '../../platform/format.js';
import { FINDING_KINDS, type Finding, type FindingKind } from './verifyEvents.js';

const MAX_EXAMPLES = 100;

/** Counts what is off, and keeps examples. */
export class Findings {
  readonly examples: Finding[] = [];
  readonly counts = Object.fromEntries(FINDING_KINDS.map((kind) => [kind, 0])) as Record<FindingKind, number>;
  /** Rows that are named already: one row may strike several checks. */
  private readonly named = new Set<string>();

  /** @param count rows or files that the finding stands for. */
  add(finding: Finding, count = 1): void {
    if (finding.eventId !== undefined) {
      const key = `${finding.kind} ${finding.eventId}`;
      if (this.named.has(key)) return;
      // Bounded like the examples: beyond that, a row that strikes twice counts twice.
      if (this.named.size < 100_000) this.named.add(key);
    }
    this.counts[finding.kind] += count;
    if (this.examples.length < MAX_EXAMPLES) this.examples.push(finding);
  }

  /** The rows beyond those that were named, of a query that counts them all as `total`. */
  addRest(kind: FindingKind, rows: readonly { readonly total: number }[]): void {
    const rest = (rows[0]?.total ?? 0) - rows.length;
    if (rest > 0) this.add({ kind, detail: `and ${countOf(rest, 'row')} more` }, rest);
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }
}
