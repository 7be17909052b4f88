/** In dirty data every file has its rejects: so many files within an interval are reported one by one, the others as a sum after it. */
const MAX_REPORTED_FILES = 5;
const REPORT_INTERVAL_MS = 10_000;

export class RejectReportLimiter {
  private sinceMs = -Infinity;
  private files = 0;
  private suppressed = { files: 0, rows: 0 };

  next(
    nowMs: number,
    rows: number,
  ): {
    readonly isReported: boolean;
    readonly suppressed: { readonly files: number; readonly rows: number } | undefined;
  } {
    let suppressed: { files: number; rows: number } | undefined;
    if (nowMs - this.sinceMs >= REPORT_INTERVAL_MS) {
      if (this.suppressed.files > 0) suppressed = this.suppressed;
      this.suppressed = { files: 0, rows: 0 };
      this.files = 0;
      this.sinceMs = nowMs;
    }
    const isReported = ++this.files <= MAX_REPORTED_FILES;
    if (!isReported) this.suppressed = { files: this.suppressed.files + 1, rows: this.suppressed.rows + rows };
    return { isReported, suppressed };
  }
}
