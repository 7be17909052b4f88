import { createHash, randomUUID } from 'node:crypto';
import { FileError } from '../../../platform/errors.js';
import { CHECKPOINT_NAME, type CheckpointStore } from '../checkpointStore.js';
import type { Driver } from './driver.js';

/** In the checkpoint's directory: a random id, written by the first stream and never changed. */
const OWNER_ID_NAME = 'owner-id';

/** A checkpoint at a URI, which only the Spark driver reaches. It is asked only while it runs, from `ready` to `finished`. */
export class RemoteCheckpoint implements CheckpointStore {
  readonly file: string;
  /** Each is a request, which an object store wants to be paid for; at the end of a micro-batch it is written anyway. */
  readonly writeIntervalMs = 10_000;
  private key: Promise<number> | undefined;

  private constructor(
    readonly label: string,
    private readonly driver: Driver,
  ) {
    this.file = `${label}/${CHECKPOINT_NAME}`;
  }

  /** Waits for the driver. @throws SparkError when it is gone. */
  static async open(uri: string, driver: Driver): Promise<RemoteCheckpoint> {
    await driver.ready();
    return new RemoteCheckpoint(uri.replace(/\/+$/, ''), driver);
  }

  async read(): Promise<string | undefined> {
    return await this.textOf(this.file);
  }

  async replace(text: string): Promise<void> {
    await this.ask('write', this.file, { text });
  }

  async remove(): Promise<void> {
    await this.ask('remove', this.file);
  }

  /** The id tells the place from another one that takes its name later, the URI from a copy of it. Once: a lock is taken again while the driver may be busy. */
  async ownershipKey(): Promise<number> {
    return await (this.key ??= this.readKey());
  }

  /** There is no time of a file to note it by, and `status` does not look there. */
  async notePolled(): Promise<void> {}

  private async readKey(): Promise<number> {
    const file = `${this.label}/${OWNER_ID_NAME}`;
    if ((await this.textOf(file)) === undefined) await this.ask('write', file, { text: randomUUID(), isNew: true });
    const id = await this.textOf(file);
    return createHash('sha256').update(`${id}:${this.label}`).digest().readInt32BE(0);
  }

  private async textOf(path: string): Promise<string | undefined> {
    const answer = await this.ask('read', path);
    return answer.text ?? undefined;
  }

  private async ask(
    type: 'read' | 'write' | 'remove',
    path: string,
    what: { readonly text?: string; readonly isNew?: boolean } = {},
  ): Promise<{ readonly text?: string | null }> {
    const answer = await this.driver.ask({ type, path, ...what });
    if (answer.type === 'failed')
      throw new FileError(path, undefined, { what: `cannot ${type} ${path}`, why: answer.message });
    return answer as { readonly text?: string | null };
  }
}
