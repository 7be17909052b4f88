import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { EXIT } from '../../src/platform/errors.js';

export type Role = 'generator' | 'mover' | 'stream';

export interface ActorOptions {
  readonly role: Role;
  /** Its log is `home/name.log`; kept when the torture fails. */
  readonly name: string;
  readonly home: string;
  readonly executable: string;
  readonly env: Readonly<Record<string, string>>;
  /** Drawn anew at each start. */
  readonly args: () => readonly string[];
  /** Never killed, so that what grows in a long life has one to grow in. */
  readonly isSpared: boolean;
  /** How often the database has lost commits. */
  readonly losses: () => number;
}

/** What a person does when a stream says that the database has lost commits. */
const RELOAD = '--reload-from-archive';

/** `ending`: told to end and not yet gone. Nobody else may end or start it meanwhile: two would start it again. */
type State = 'down' | 'running' | 'frozen' | 'ending';

/** One process of the pipeline, started again and again. */
export class Actor {
  state: State = 'down';
  starts = 0;
  /** Monotonic time of the last start. */
  startedMs = 0;
  private child: ChildProcess | undefined;
  /** Losses before this start, where it brings back what was lost. */
  private reloadedAfter: number | undefined;
  private nextStart: NodeJS.Timeout | undefined;

  constructor(
    readonly options: ActorOptions,
    private readonly onFailure: (message: string) => void,
  ) {}

  get pid(): number | undefined {
    return this.state === 'running' ? this.child?.pid : undefined;
  }

  start(reload = false): void {
    const { role, name, home, executable, env, args, losses } = this.options;
    this.reloadedAfter = reload ? losses() : undefined;
    const log = openSync(this.logFile, 'a');
    this.starts++;
    this.startedMs = performance.now();
    const child = spawn(
      process.execPath,
      [
        executable,
        role === 'generator' ? 'generate' : role === 'mover' ? 'move' : 'stream',
        ...args(),
        ...(reload ? [RELOAD] : []),
      ],
      {
        cwd: home,
        env: { PATH: process.env['PATH'], HOME: home, ...env },
        stdio: ['ignore', 'ignore', log],
      },
    );
    closeSync(log);
    this.child = child;
    this.state = 'running';
    child.once('exit', (code, signal) => {
      const isExpected = this.state === 'ending';
      this.state = 'down';
      if (isExpected) return;
      // Its predecessor's connection may live a moment longer than itself.
      if (code === EXIT.owned) this.nextStart = setTimeout(() => this.start(reload), 200);
      // It says that commits are missing, which no start can say after it has brought them back.
      else if (code === EXIT.integrity && losses() > (this.reloadedAfter ?? 0)) this.start(true);
      else this.onFailure(`${name} ended by itself with ${code ?? signal ?? '?'}: ${this.lastWords()}`);
    });
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Ends it in good order, which takes it as long as its database is away. @returns its exit code, undefined when it does not run. */
  async terminate(): Promise<number | null | undefined> {
    return await this.end('SIGTERM');
  }

  freeze(): void {
    this.child?.kill('SIGSTOP');
    this.state = 'frozen';
  }

  thaw(): void {
    if (this.state !== 'frozen') return;
    this.state = 'running';
    this.child?.kill('SIGCONT');
  }

  private async end(signal: NodeJS.Signals): Promise<number | null | undefined> {
    const { child } = this;
    clearTimeout(this.nextStart);
    if (child === undefined || this.state === 'down' || this.state === 'ending') return undefined;
    this.state = 'ending';
    const exited = once(child, 'exit') as Promise<[number | null]>;
    child.kill(signal);
    const [code] = await exited;
    return code;
  }

  /** Whether what it wrote to its log after the first `from` bytes has this in it. */
  hasLogged(pattern: RegExp, from: number): boolean {
    return pattern.test(readFileSync(this.logFile).subarray(from).toString());
  }

  get logBytes(): number {
    return statSync(this.logFile).size;
  }

  private get logFile(): string {
    return path.join(this.options.home, `${this.options.name}.log`);
  }

  private lastWords(): string {
    const lines = readFileSync(this.logFile, 'utf8').trimEnd().split('\n');
    return lines
      .slice(lines.findLastIndex((line) => line.includes(' error ')) - lines.length)
      .slice(0, 5)
      .join('\n');
  }
}
