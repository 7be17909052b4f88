import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Logger } from '../../../platform/log.js';
import { forwardSparkLog } from './driverLog.js';
import { SparkError } from './installation.js';
import type { FromJob, StageCommand, ToJob } from './messages.js';
import { submitArguments, submitEnvironment, type DriverSettings } from './submit.js';

/** How long the job may take to end after it was told to, before it gets a signal, and then the last one. */
const STOP_WITHIN_MS = 15_000;
const KILL_AFTER_MS = 5_000;

/**
 * The Spark driver as a process of ours, in client mode. It has a process group of its own, so that a Ctrl-C in the
 * terminal reaches only us; when we are gone, however that happened, its standard input ends and it ends itself.
 */
export class DriverProcess {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly queue: FromJob[] = [];
  private readonly answers = new Map<number, (message: FromJob) => void>();
  private wake: () => void = () => undefined;
  private lastWords = '';
  private nextId = 0;
  private readonly exited: Promise<void>;
  private ending: SparkError | undefined;

  constructor(settings: DriverSettings, environment: NodeJS.ProcessEnv, log: Logger) {
    const { spark } = settings;
    this.child = spawn(path.join(spark.home, 'bin', 'spark-submit'), submitArguments(settings, environment), {
      env: submitEnvironment(settings, environment),
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // A driver that died reads no more: its exit says so.
    this.child.stdin.on('error', () => undefined);
    forwardSparkLog(this.child.stderr, log, (text) => (this.lastWords = text));
    createInterface({ input: this.child.stdout }).on('line', (line) => this.receive(line, log));
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => this.ended(error.message, resolve));
      this.child.once('close', (code, signal) =>
        this.ended(signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`, resolve),
      );
    });
  }

  /** The next message that answers no command. @throws SparkError when the driver is gone. */
  async next(): Promise<FromJob> {
    for (;;) {
      const message = this.queue.shift();
      if (message !== undefined) return message;
      if (this.ending !== undefined) throw this.ending;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  send(command: ToJob): void {
    this.child.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** Sends a command and waits for its answer. @throws SparkError when the driver is gone. */
  async ask(command: StageCommand | Extract<ToJob, { type: 'cut' | 'dispose' }>): Promise<FromJob> {
    const id = ++this.nextId;
    const answer = new Promise<FromJob>((resolve) => this.answers.set(id, resolve));
    this.child.stdin.write(`${JSON.stringify({ ...command, id })}\n`);
    const message = await Promise.race([answer, this.exited]);
    if (message === undefined) throw this.ending ?? new Error('the Spark driver is gone');
    return message;
  }

  get isGone(): boolean {
    return this.ending !== undefined;
  }

  /** Asks it to end; what takes too long gets a signal. */
  stop(): void {
    this.send({ type: 'stop' });
    this.endWithin(STOP_WITHIN_MS);
  }

  /** Takes its standard input away, which ends it at once, and waits until it is gone. Never throws. */
  async close(): Promise<void> {
    this.child.stdin.end();
    this.endWithin(KILL_AFTER_MS);
    await this.exited;
  }

  private endWithin(ms: number): void {
    const timers = [
      setTimeout(() => this.child.kill('SIGTERM'), ms),
      setTimeout(() => this.child.kill('SIGKILL'), ms + KILL_AFTER_MS),
    ];
    void this.exited.then(() => timers.forEach((timer) => clearTimeout(timer)));
  }

  private receive(line: string, log: Logger): void {
    if (!line.startsWith('{')) {
      log.debug('spark_output', line);
      return;
    }
    const message = JSON.parse(line) as FromJob;
    if (message.type === 'died') this.lastWords = message.message;
    const answer = 'id' in message && message.type !== 'batch' ? this.answers.get(message.id) : undefined;
    if (answer !== undefined && 'id' in message) {
      this.answers.delete(message.id);
      answer(message);
    } else if (message.type !== 'died') {
      this.queue.push(message);
      this.wake();
    }
  }

  private ended(how: string, resolve: () => void): void {
    this.ending ??= new SparkError({
      what: 'the Spark driver is gone',
      why: [how, this.lastWords].filter(Boolean).join('; '),
      outcome: 'what was not committed was rolled back',
      hint: 'start again: it goes on by the ledger; `--log-level debug` shows all that Spark says',
    });
    resolve();
    this.wake();
  }
}
