import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';

const EXECUTABLE = fileURLToPath(new URL('../../bin/ecompipe.js', import.meta.url));
const RSS_INTERVAL_MS = 20;

/** An ecompipe that runs: the built executable, as a user starts it. */
export interface RunningEcompipe {
  readonly child: ChildProcessWithoutNullStreams;
  /** `performance.now()` at which it was started. */
  readonly startedMs: number;
  /** Resolves with the log line of this event. */
  readonly logged: (event: string) => Promise<LogLine>;
  readonly ended: Promise<EndedEcompipe>;
}

export interface EndedEcompipe {
  /** From before the spawn to the exit. */
  readonly wallMs: number;
  readonly stdout: string;
  readonly log: readonly LogLine[];
  /** VmHWM of the process, in bytes; 0 where there is no /proc. Looked at every 20 ms. */
  readonly peakRssBytes: number;
}

interface LogLine {
  readonly time: string;
  readonly event: string;
}

export interface EcompipeOptions {
  /** Of our own environment only PATH is passed on, so that no PG* can interfere. */
  readonly env: NodeJS.ProcessEnv;
  /** Another build's. Default: ours. */
  readonly executable?: string | undefined;
  /** Where a `.env` would be read. Default `/`. */
  readonly cwd?: string;
  /** Terminates it. */
  readonly stop?: AbortSignal;
}

/** Starts `ecompipe …args`. */
export function startEcompipe(
  args: readonly string[],
  { env, executable = EXECUTABLE, cwd = path.parse(EXECUTABLE).root, stop }: EcompipeOptions,
): RunningEcompipe {
  const startedMs = performance.now();
  const child = spawn(executable, ['--log-format', 'json', ...args], {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    ...(stop === undefined ? {} : { signal: stop }),
  });
  const log: LogLine[] = [];
  const waiting = new Map<string, (line: LogLine) => void>();
  let [stdout, stderr, rest] = ['', '', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) {
      stderr = `${stderr}${text}\n`.slice(-4096);
      const line = parseLine(text);
      if (line === undefined) continue;
      log.push(line);
      waiting.get(line.event)?.(line);
    }
  });
  const rss = watchPeakRss(child.pid);
  const ended = new Promise<EndedEcompipe>((resolve, reject) => {
    let wallMs = 0;
    child.once('exit', () => (wallMs = performance.now() - startedMs));
    child.once('error', reject).once('close', (code, signal) => {
      const peakRssBytes = rss.stop();
      if (code === 0) resolve({ wallMs, stdout, log, peakRssBytes });
      else reject(new Error(`ecompipe ${args.join(' ')} ended with ${signal ?? `code ${code}`}:\n${stderr}`));
    });
  });
  // Who waits for a log line first must not find the rejection unhandled.
  ended.catch(() => undefined);
  const logged = (event: string): Promise<LogLine> => {
    const seen = log.find((line) => line.event === event);
    const line = new Promise<LogLine>((resolve) => (seen === undefined ? waiting.set(event, resolve) : resolve(seen)));
    return Promise.race([line, ended.then(() => Promise.reject(new Error(`ecompipe ended without ${event}`)))]);
  };
  return { child, startedMs, logged, ended };
}

export async function runEcompipe(args: readonly string[], options: EcompipeOptions): Promise<EndedEcompipe> {
  return await startEcompipe(args, options).ended;
}

function parseLine(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}

/** The kernel keeps the high-water mark itself: only what happens after the last look can be missed. */
function watchPeakRss(pid: number | undefined): { stop: () => number } {
  let peakBytes = 0;
  const look = (): void => {
    try {
      const [, kibibytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      peakBytes = Number(kibibytes ?? 0) * 1024 || peakBytes;
    } catch {
      // Gone, or no Linux.
    }
  };
  const timer = setInterval(look, RSS_INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return peakBytes;
    },
  };
}
