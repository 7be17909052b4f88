import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { EXECUTABLE } from './executable.js';

/** A reason to skip tests that need a terminal, or false. */
export const NO_TERMINAL = spawnSync('script', ['--version']).status !== 0 && 'needs script(1)';

export interface InTerminal {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly columns?: number;
}

export interface TerminalSession {
  /** All that was written to the terminal so far, with its control sequences. */
  readonly output: () => string;
  /** The same as text: control sequences and carriage returns are left out. */
  readonly text: () => string;
  /** Presses Ctrl-C. */
  readonly interrupt: () => void;
  /** Exit code of the command. */
  readonly end: Promise<number | null>;
}

/** Runs the executable in a terminal of its own (script(1)), killed at the end of the test if it still runs. */
export function startInTerminal(
  t: TestContext,
  { cwd, env = {}, columns = 80 }: InTerminal,
  ...args: readonly string[]
): TerminalSession {
  const quoted = [process.execPath, EXECUTABLE, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qec', `stty cols ${columns} rows 40; exec ${quoted}`, '/dev/null'], {
    cwd,
    env: { PATH: process.env['PATH'], TERM: 'xterm', HOME: '/nonexistent', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  return {
    output: () => output,
    text: () => output.replaceAll(/\u001b\[[\d;?]*[A-Za-z]|\r/g, ''),
    interrupt: () => void child.stdin.write('\u0003'),
    end: once(child, 'close').then(() => child.exitCode),
  };
}
