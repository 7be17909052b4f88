/** Thrown into a batch that must free its locks for an earlier one of the same file: roll back, load again when it is your turn. */
export class Preempted extends Error {}

/**
 * Makes the batches of one file commit in order although they load at the same time.
 *
 * A batch that has loaded its rows waits here, in an open transaction, for the ones before it. Should the first in line
 * be blocked by a row that a waiting one holds (the same event twice in a file), PostgreSQL can't see the deadlock, for one
 * half of it is in this process: the first one's lock_timeout breaks it, and `preemptWaiters` makes the waiting ones roll back.
 */
export class CommitOrder {
  private head = 0;
  private failure: { readonly cause: unknown } | undefined;
  private readonly waiting = new Map<number, { resolve: () => void; reject: (error: unknown) => void }>();

  isHead(index: number): boolean {
    return index === this.head;
  }

  /** Resolves when all batches before `index` have committed. @throws Preempted, or what made an earlier batch fail for good. */
  async waitForTurn(index: number): Promise<void> {
    this.throwIfFailed();
    if (this.isHead(index)) return;
    await new Promise<void>((resolve, reject) => this.waiting.set(index, { resolve, reject }));
  }

  committed(): void {
    this.head++;
    const next = this.waiting.get(this.head);
    this.waiting.delete(this.head);
    next?.resolve();
  }

  preemptWaiters(): void {
    this.rejectAll(new Preempted());
  }

  /** No later batch can commit any more. */
  fail(cause: unknown): void {
    this.failure ??= { cause };
    this.rejectAll(cause);
  }

  get failed(): boolean {
    return this.failure !== undefined;
  }

  throwIfFailed(): void {
    if (this.failure !== undefined) throw this.failure.cause;
  }

  private rejectAll(error: unknown): void {
    const all = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of all) reject(error);
  }
}
