import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Logger } from '../../../platform/log.js';
import { SparkError } from './installation.js';
import type { FromJob, StageCommand, ToJob } from './messages.js';

/** What is answered by a message with its id. */
type AskedCommand = Extract<ToJob, { type: 'cut' | 'dispose' | 'read' | 'write' | 'remove' }>;

/** The Spark driver, which is told what to do, one JSON document a line each way; however it came to run. */
export abstract class Driver {
  private readonly queue: FromJob[] = [];
  private readonly answers = new Map<number, (message: FromJob) => void>();
  private wake: () => void = () => undefined;
  private nextId = 0;
  private whenReady: Promise<void> | undefined;
  private ending: SparkError | undefined;
  private markGone: () => void = () => undefined;
  /** Resolves when it is gone. */
  protected readonly gone = new Promise<void>((resolve) => (this.markGone = resolve));
  /** What it said last of why it ends. */
  protected lastWords = '';

  protected constructor(
    private readonly output: Writable,
    input: Readable,
    private readonly log: Logger,
  ) {
    // A driver that died reads no more: its end says so.
    output.on('error', () => undefined);
    createInterface({ input }).on('line', (line) => this.receive(line));
  }

  /** Asks it to end. */
  abstract stop(): void;

  /** Ends it at once, and waits until it is gone. Never throws. */
  abstract close(): Promise<void>;

  /** The next message that answers no command. @throws SparkError when the driver is gone. */
  async next(): Promise<FromJob> {
    for (;;) {
      const message = this.queue.shift();
      if (message !== undefined) return message;
      if (this.ending !== undefined) throw this.ending;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** The next message, which must be of this type. @throws SparkError when the driver is gone, or says something else. */
  async expect(type: FromJob['type']): Promise<void> {
    const message = await this.next();
    if (message.type !== type)
      throw new SparkError({ what: `the Spark driver said ${message.type}`, why: `${type} was expected` });
  }

  /** Resolves when it takes commands. @throws SparkError when it is gone, or says something else. */
  async ready(): Promise<void> {
    await (this.whenReady ??= this.expect('ready'));
  }

  send(command: ToJob): void {
    this.write(command);
  }

  /** Sends a command and waits for its answer. @throws SparkError when the driver is gone. */
  async ask(command: StageCommand | AskedCommand): Promise<FromJob> {
    const id = ++this.nextId;
    const answer = new Promise<FromJob>((resolve) => this.answers.set(id, resolve));
    this.write({ ...command, id });
    const message = await Promise.race([answer, this.gone]);
    if (message === undefined) throw this.ending ?? new Error('the Spark driver is gone');
    return message;
  }

  get isGone(): boolean {
    return this.ending !== undefined;
  }

  private write(document: object): void {
    this.output.write(`${JSON.stringify(document)}\n`);
  }

  private receive(line: string): void {
    if (!line.startsWith('{')) {
      this.log.debug('spark_output', line);
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

  protected ended(how: string): void {
    this.ending ??= new SparkError({
      what: 'the Spark driver is gone',
      why: [how, this.lastWords].filter(Boolean).join('; '),
      outcome: 'what was not committed was rolled back',
      hint: 'start again: it continues from the ledger; `--log-level debug` shows all that Spark says',
    });
    this.markGone();
    this.wake();
  }
}
