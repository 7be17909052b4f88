import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { lockKeyOf, OWNER_ID_NAME } from '../../../contract/streamOwner.js';
import { FileError } from '../../../platform/errors.js';
import { belowUri } from '../../../platform/files/uri.js';
import { CHECKPOINT_NAME, type CheckpointStore } from '../checkpointStore.js';
import type { Driver } from './driver.js';

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
    this.file = belowUri(label, CHECKPOINT_NAME);
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
    const file = belowUri(this.label, OWNER_ID_NAME);
    if ((await this.textOf(file)) === undefined) await this.ask('write', file, { text: randomUUID(), isNew: true });
    return lockKeyOf(`${await this.textOf(file)}:${this.label}`);
  }

  private async textOf(path: string): Promise<string | undefined> {
    return (await this.ask('read', path)) ?? undefined;
  }

  private async ask(
    type: 'read' | 'write' | 'remove',
    path: string,
    what: { readonly text?: string; readonly isNew?: boolean } = {},
  ): Promise<string | null> {
    const answer = await this.driver.ask({ type, path, ...what });
    if (answer.type === 'failed')
      throw new FileError(path, undefined, { what: `cannot ${type} ${path}`, why: answer.message });
    assert(answer.type === 'text', 'what is asked about a text is answered with it');
    return answer.text;
  }
}
