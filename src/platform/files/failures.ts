import type { EcompipeError } from '../errors.js';

const FIRST_RETRY_MS = 1000;
/** A file that fails for hours still gets its chance each minute: the disk may have been freed. */
const MAX_RETRY_MS = 60_000;

interface Failure {
  readonly error: EcompipeError;
  readonly attempt: number;
  readonly retryAtMs: number;
}

/** Files that a stage could not handle, each with its own back-off, so that none holds up another. Times are monotonic. */
export class Failures {
  private readonly failures = new Map<string, Failure>();

  /** Earliest time of the next try; 0 for a file that has not failed. */
  retryAt(name: string): number {
    return this.failures.get(name)?.retryAtMs ?? 0;
  }

  record(name: string, error: EcompipeError, nowMs: number): { attempt: number; retryInMs: number } {
    const attempt = (this.failures.get(name)?.attempt ?? 0) + 1;
    const retryInMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1));
    this.failures.set(name, { error, attempt, retryAtMs: nowMs + retryInMs });
    return { attempt, retryInMs };
  }

  forget(name: string): void {
    this.failures.delete(name);
  }

  clear(): void {
    this.failures.clear();
  }

  has(name: string): boolean {
    return this.failures.has(name);
  }

  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.failures.keys()) if (!names.has(name)) this.failures.delete(name);
  }

  all(): readonly { name: string; error: EcompipeError }[] {
    return [...this.failures].map(([name, { error }]) => ({ name, error }));
  }
}
