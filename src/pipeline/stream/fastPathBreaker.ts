/** Failures in a row after which the fast path is not even tried. */
const FAILURES_BEFORE_SLOW = 3;
/** Batches that then go straight to the slow path before the fast one gets another chance. */
const SLOW_BATCHES = 16;

/** Decides whether a batch is worth an attempt on the fast path: where every batch has a bad row, the attempts are waste. */
export class FastPathBreaker {
  private failures = 0;
  private slowLeft = 0;

  skipFast(): boolean {
    if (this.slowLeft === 0) return false;
    this.slowLeft--;
    return true;
  }

  fastSucceeded(): void {
    this.failures = 0;
  }

  fastFailed(): void {
    this.failures++;
    if (this.failures >= FAILURES_BEFORE_SLOW) this.slowLeft = SLOW_BATCHES;
  }
}
