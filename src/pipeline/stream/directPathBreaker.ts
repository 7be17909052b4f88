/** Failures in a row after which the direct path is not even tried. */
const FAILURES_BEFORE_STAGING = 3;
/** Batches that then go straight to the staged path before the direct one gets another chance. */
const STAGED_BATCHES = 16;

/** Decides whether a batch is worth an attempt on the direct path: where every batch has a bad row, the attempts are waste. */
export class DirectPathBreaker {
  private failures = 0;
  private stagedLeft = 0;

  skipDirect(): boolean {
    if (this.stagedLeft === 0) return false;
    this.stagedLeft--;
    return true;
  }

  directSucceeded(): void {
    this.failures = 0;
  }

  directFailed(): void {
    this.failures++;
    if (this.failures >= FAILURES_BEFORE_STAGING) this.stagedLeft = STAGED_BATCHES;
  }
}
