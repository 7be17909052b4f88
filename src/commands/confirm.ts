import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { InterruptedError } from '../platform/errors.js';
import { printable } from '../platform/printable.js';

/** Somebody sits there who can be asked. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** Asks on the terminal; only the whole word is a yes. @throws InterruptedError when a signal comes instead of an answer. */
export async function confirm(question: string, stop: AbortSignal): Promise<boolean> {
  // As a terminal it would take Ctrl-C for itself, and no signal would come.
  const terminal = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  // The end of input is an answer too.
  const closed = once(terminal, 'close').then(() => '');
  try {
    return (
      (
        await Promise.race([terminal.question(`${printable(question)} Type yes: `, { signal: stop }), closed])
      ).trim() === 'yes'
    );
  } catch (error) {
    if (stop.aborted || (error as Error).name === 'AbortError')
      throw new InterruptedError({ what: 'interrupted', outcome: 'nothing was changed', cause: error });
    throw error;
  } finally {
    terminal.close();
  }
}
