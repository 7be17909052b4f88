import { setImmediate } from 'node:timers/promises';

/** Lets other work of the process run when a loop of synchronous calls has held the event loop for `sliceMs`. */
export class EventLoopYielder {
  private sliceStart = performance.now();

  constructor(private readonly sliceMs = 5) {}

  /** Cheap enough to ask for every item; await {@link yield} when true. */
  get shouldYield(): boolean {
    return performance.now() - this.sliceStart >= this.sliceMs;
  }

  async yield(): Promise<void> {
    await setImmediate();
    this.sliceStart = performance.now();
  }
}
