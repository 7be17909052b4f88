import { terminalSize } from '../platform/terminal.js';
import { pause } from '../platform/wait.js';

/** A screen that is drawn again and again, until q, Ctrl-C or a signal. */
export interface Screen {
  /** Replaces what was drawn before. */
  readonly draw: (text: string) => void;
  readonly columns: () => number;
  /** Waits; less when the user or a signal ends it, or the terminal changes its size. */
  readonly wait: (ms: number) => Promise<void>;
  readonly hasEnded: () => boolean;
}

const CLEAR = '\u001b[H\u001b[J';
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';

/**
 * On a terminal: the alternate screen, left again however `show` ends, so that what stood there before comes
 * back, with the last drawing below it. Elsewhere one text after the other.
 */
export async function withScreen(stop: AbortSignal, show: (screen: Screen) => Promise<void>): Promise<void> {
  const { stdin, stdout } = process;
  if (terminalSize(stdout) === undefined) {
    await show({
      draw: (text) => stdout.write(`${text}\n`),
      columns: () => 120,
      wait: (ms) => pause(ms, stop),
      hasEnded: () => stop.aborted,
    });
    return;
  }
  const quit = new AbortController();
  let wake = new AbortController();
  let drawn = '';
  const draw = (text: string): void => {
    drawn = text;
    const lines = text.split('\n').slice(0, Math.max(1, stdout.rows - 1));
    stdout.write(`${CLEAR}${lines.join('\r\n')}`);
  };
  const onKey = (key: Buffer): void => {
    if (['q', 'Q', '\u0003', '\u0004'].includes(key.toString())) quit.abort();
  };
  const onResize = (): void => wake.abort();
  const isRaw = stdin.isTTY;
  if (isRaw) stdin.setRawMode(true).on('data', onKey).resume();
  stdout.on('resize', onResize).write(ENTER);
  try {
    await show({
      draw,
      columns: () => stdout.columns,
      wait: async (ms) => {
        wake = new AbortController();
        await pause(ms, stop, quit.signal, wake.signal);
      },
      hasEnded: () => stop.aborted || quit.signal.aborted,
    });
  } finally {
    stdout.off('resize', onResize).write(`${LEAVE}${drawn}\n`);
    if (isRaw) stdin.setRawMode(false).off('data', onKey).pause();
  }
}
