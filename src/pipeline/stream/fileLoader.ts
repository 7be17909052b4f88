import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { DirectoryWatch } from '../../platform/files/directoryWatch.js';
import { Failures } from '../../platform/files/failures.js';
import { EventLoopYielder, pause, WakeSignal } from '../../platform/wait.js';
import { asFileError, EcompipeError, errnoOf, InterruptedError } from '../../platform/errors.js';
import { isCancelled } from '../../platform/db/sqlState.js';
import { failpoint } from '../../platform/failpoint.js';
import type { StageContext } from '../../platform/stage.js';
import { listOptions } from '../../contract/listFiles.js';
import { canonicalShape, parseHeader, unnamedFields, UnreadableFile, type Header } from '../../contract/csv/header.js';
import { hintOfShipped } from './feeds/shippedFeeds.js';
import { FileChanged, NotARegularFile, openLarge, readSmall, type Content } from './content.js';
import { InputListing, nameError, type InputPage } from './discover.js';
import type { StreamEvent, StreamResult, StreamSettings } from './streamEvents.js';
import type { ReadFile } from './fileDisposer.js';
import { loadLargeFile } from './largeFile.js';
import { FilesNotLoadedError, type ResultRecorder } from './resultRecorder.js';
import { NotAcceptedError } from './notAccepted.js';
import { FilesChanged, runBatch, type LoaderContext } from './runBatch.js';
import { SmallFileGroup, wholeFilePart } from './smallFiles.js';
import type { TargetTable } from './targetTable.js';
import { printableLine } from '../../platform/printable.js';

/**
 * Takes files from the directory and sees each to its end. One loop lists, so one listing at a time; loads run beside it.
 *
 * A file is in one of these states: *listed*; *in flight* (read, in a group or being loaded, never listed again
 * meanwhile); *finished* (archived, deleted, kept, quarantined); or *failed*, which is listed again when its back-off
 * ends. Small files are grouped and go first on any free connection; large ones load one after the other beside them.
 */
export class FileLoader {
  private readonly wake = new WakeSignal();
  private readonly failures = new Failures();
  private readonly inFlight = new Set<string>();
  private readonly tasks = new Set<Promise<void>>();
  /** Those of the tasks that load small files. */
  private readonly groups = new Set<Promise<void>>();
  private readonly halt = new AbortController();
  /** Small files that go the way of large ones, one by one: the ledger has a part of them, or one of a group was not accepted. */
  private readonly unfinished = new Set<string>();
  private readonly group: SmallFileGroup<ReadFile>;
  private readonly listing: InputListing;
  /** Files that were seen to their end and are listed all the same, once more in a row. */
  private readonly returned = new Set<string>();
  private largeFiles: Promise<void> = Promise.resolve();
  private fatal: { readonly error: unknown } | undefined;
  private isMissing = false;
  private tasksEnded = 0;

  constructor(
    private readonly settings: StreamSettings,
    private readonly loader: LoaderContext,
    private readonly recorder: ResultRecorder,
    private readonly context: StageContext<StreamEvent>,
    private readonly onIdle: () => void,
  ) {
    this.listing = new InputListing(settings.inputDir, listOptions(settings), context.emit);
    // A limit of rejects rolls back the file that exceeds it, and not its neighbours.
    const isLimited = settings.maxRejected !== undefined && settings.maxRejected !== 'none';
    this.group = new SmallFileGroup(settings.batchBytes, isLimited ? 1 : undefined);
  }

  async run(): Promise<StreamResult> {
    const watch = new DirectoryWatch(this.settings.inputDir, this.wake.notify);
    const onStop = (): void => this.halt.abort();
    this.context.stop.addEventListener('abort', onStop, { once: true });
    if (this.context.stop.aborted) onStop();
    try {
      while (!this.halt.signal.aborted) {
        watch.renew();
        const isDraining = this.context.drain.aborted;
        const endedBefore = this.tasksEnded;
        const { isAll, taken } = await this.takeListed(isDraining);
        watch.watchSubdirectories(this.listing.subdirectories);
        // To drain is to list until there is nothing new. Otherwise whatever comes wakes the loop, and to list at once would
        // take the time of what was just sent to the server.
        if (!isAll || (isDraining && taken > 0)) continue;
        // A file that was in flight when it was passed over may be left to be listed again: the next listing sees it.
        if (isDraining && this.inFlight.size === 0 && this.tasksEnded === endedBefore) break;
        if (this.inFlight.size === 0) this.onIdle();
        await this.untilNextListing(isDraining);
      }
    } finally {
      watch.close();
      this.context.stop.removeEventListener('abort', onStop);
      await this.settleTasks();
    }
    return this.finish();
  }

  private async untilNextListing(isDraining: boolean): Promise<void> {
    const { pollIntervalMs } = this.settings;
    const signals = [this.halt.signal, ...(isDraining ? [] : [this.context.drain])];
    const { restMs } = this.listing;
    if (restMs > 0) await pause(Math.min(pollIntervalMs, restMs), ...signals);
    await this.wake.wait(pollIntervalMs, ...signals);
  }

  private finish(): StreamResult {
    if (this.fatal !== undefined) throw this.fatal.error;
    const { result } = this.recorder;
    const failed = this.failures.all();
    if (this.context.drain.aborted && !this.context.stop.aborted && failed.length > 0)
      throw new FilesNotLoadedError(failed, result);
    return result;
  }

  private async settleTasks(): Promise<void> {
    while (this.tasks.size > 0) await Promise.all(this.tasks);
  }

  /** Lists, and starts to load what is new. */
  private async takeListed(isDraining: boolean): Promise<{ readonly isAll: boolean; readonly taken: number }> {
    const yielder = new EventLoopYielder();
    const { names, isAll } = await this.list(isDraining);
    for (const name of names) {
      if (this.halt.signal.aborted) break;
      if (yielder.shouldYield) await yielder.yield();
      this.inFlight.add(name);
      this.take(name);
      if (this.group.isFull) this.launchGroup();
      await this.untilFewGroups();
    }
    this.launchGroup();
    await this.untilFewGroups();
    return { isAll, taken: names.length };
  }

  private async list(isDraining: boolean): Promise<InputPage> {
    try {
      const present = new Set<string>();
      const page = await this.listing.next((name) => {
        if (this.isRemembered(name)) present.add(name);
        return this.isNew(name, isDraining);
      });
      if (this.isMissing) this.context.emit({ type: 'directoryBack', directory: this.settings.inputDir });
      this.isMissing = false;
      this.failures.keepOnly(present);
      this.recorder.forgetAllBut(present);
      for (const name of this.returned) if (!present.has(name)) this.returned.delete(name);
      return page;
    } catch (error) {
      if (!(error instanceof EcompipeError) || this.context.drain.aborted) throw error;
      if (!this.isMissing) this.context.emit({ type: 'directoryMissing', directory: this.settings.inputDir, error });
      this.isMissing = true;
      return { names: [], isAll: true };
    }
  }

  private isNew(name: string, isDraining: boolean): boolean {
    if (this.inFlight.has(name) || this.recorder.isKept(name)) return false;
    return isDraining ? !this.failures.has(name) : this.failures.retryAt(name) <= performance.now();
  }

  /** Whether anything is remembered of a file for as long as it is there. */
  private isRemembered(name: string): boolean {
    return this.failures.has(name) || this.returned.has(name) || this.recorder.isRemembered(name);
  }

  /** Reads a small file into the group at once; puts a large one in line. */
  private take(name: string): void {
    const file = this.pathOf(name);
    try {
      const content =
        this.settings.atomicFile || this.unfinished.delete(name)
          ? undefined
          : readSmall(file, this.settings.batchBytes, this.settings.maxFileBytes);
      if (content?.whole === undefined) this.startLarge(name);
      else this.addToGroup(name, content, content.whole);
    } catch (error) {
      this.fileFailed(name, error);
    }
  }

  private addToGroup(name: string, content: Content, bytes: Buffer): void {
    const file = { name, fileStamp: content.fileStamp };
    failpoint('file-hashed');
    const { table } = this.loader.target;
    try {
      if (content.fault !== undefined) throw content.fault;
      const whole = wholeFilePart(file, content, bytes, (start) => this.parseStart(name, start, table));
      if (whole === undefined) {
        this.startLarge(name);
        return;
      }
      const { part, shape } = whole;
      if (!this.group.accepts(part, shape)) this.launchGroup();
      this.group.add(file, part, shape);
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      void this.start([name], async () => {
        // Columns may have come since the table was looked at: then the file is listed again.
        if (await this.hasChangedSince(table, name)) return;
        const reason = await this.explain(name, error, bytes);
        this.ended(name, await this.recorder.fileUnreadable(file, content, reason));
      });
    }
  }

  /**
   * Waits while one more is loading than there are connections, so that it is ready when another commits. Asked after each
   * file: one that does not fit into the group any more starts it, too.
   */
  private async untilFewGroups(): Promise<void> {
    while (this.groups.size > this.settings.connections) await Promise.race(this.groups);
  }

  private launchGroup(): void {
    const taken = this.group.take();
    if (taken === undefined) return;
    const { batch, files } = taken;
    const task = this.start(
      files.map(({ name }) => name),
      async () => {
        const result = await runBatch(this.loader, batch, 'urgent').catch((error: unknown) => {
          // Which of them it is, each tells alone.
          if (error instanceof NotAcceptedError && files.length > 1)
            for (const { name } of files) this.unfinished.add(name);
          // The others are listed again at once.
          else if (error instanceof FilesChanged)
            for (const name of error.names) this.fileFailed(name, new FileChanged(this.pathOf(name)));
          else throw error;
          return undefined;
        });
        if (result === undefined) return;
        const { committed, known } = result;
        if (committed !== undefined) this.recorder.batchCommitted(committed);
        const entries = new Map(known.map(({ part, file }) => [part.name, file]));
        for (const [index, file] of files.entries()) {
          const entry = entries.get(file.name);
          // Listed again, and then loaded from where it stands.
          if (entry?.state === 'loading') this.unfinished.add(file.name);
          const finish =
            entry === undefined
              ? this.recorder.fileLoaded(file, batch.parts[index]?.fileSize ?? 0)
              : this.recorder.fileKnown(file, entry);
          await finish.then(
            (isOut) => this.ended(file.name, isOut || entry?.state === 'loading'),
            (error: unknown) => this.fileFailed(file.name, error),
          );
        }
      },
    );
    this.groups.add(task);
    void task.finally(() => this.groups.delete(task));
  }

  /** Large files load one at a time: two would only take turns, and keep more open. */
  private startLarge(name: string): void {
    const before = this.largeFiles;
    const load = before.then(() => this.loadLarge(name));
    this.largeFiles = load.catch(() => undefined);
    void this.start([name], () => load);
  }

  private async loadLarge(name: string): Promise<void> {
    if (this.halt.signal.aborted) return;
    let header: Header | undefined;
    const content = await openLarge(this.pathOf(name), {
      ...(this.settings.maxFileBytes === undefined ? {} : { maxBytes: this.settings.maxFileBytes }),
      stop: this.halt.signal,
      judgeStart: async (start) => {
        header = await this.readHeader(name, start);
      },
    }).catch((error: unknown) => {
      if (this.halt.signal.aborted && error === this.halt.signal.reason) return undefined;
      throw error;
    });
    if (content === undefined) return;
    failpoint('file-hashed');
    const file = { name, fileStamp: content.fileStamp };
    try {
      if (content.fault !== undefined) throw content.fault;
      assert(header !== undefined, 'a file without a fault has its header');
      const outcome = await loadLargeFile(
        this.loader,
        { ...file, content, header },
        {
          batchBytes: this.settings.batchBytes,
          parallel: this.settings.connections,
          atomicFile: this.settings.atomicFile,
          stop: this.halt.signal,
          onCommit: (batch) => this.recorder.batchCommitted(batch),
        },
      );
      if (outcome.kind === 'known') this.ended(name, await this.recorder.fileKnown(file, outcome.file));
      if (outcome.kind === 'loaded') this.ended(name, await this.recorder.fileLoaded(file, content.size));
    } catch (error) {
      if (error instanceof FilesChanged) throw new FileChanged(this.pathOf(name));
      if (!(error instanceof UnreadableFile)) throw error;
      this.ended(name, await this.recorder.fileUnreadable(file, content, error));
    } finally {
      await content.close();
    }
  }

  /** The header of a large file. An empty one is never large, unless asked for with --atomic-file. */
  private async readHeader(name: string, start: Buffer): Promise<Header> {
    const { table } = this.loader.target;
    const parse = (target: TargetTable): Header =>
      this.parseStart(name, start, target) ?? { ...canonicalShape([]), length: start.length, lines: 0 };
    try {
      return parse(table);
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      if (!(await this.hasChangedSince(table, name))) throw await this.explain(name, error, start);
      return parse(this.loader.target.table);
    }
  }

  /** What the first bytes of a file say about it: by its feed, or as columns of the table. */
  private parseStart(name: string, start: Buffer, { header }: TargetTable): Header | undefined {
    const feed = this.loader.feeds.find(name);
    if (feed !== undefined) return this.loader.feeds.parseHeader(start, feed);
    const parsed = parseHeader(start, header);
    const columns = parsed === undefined ? 0 : unnamedFields(parsed);
    if (columns > 0) this.context.emit({ type: 'columnsIgnored', file: name, columns });
    return parsed;
  }

  /** Says which shipped feed an unreadable file is for, where its header tells. */
  private async explain(name: string, error: UnreadableFile, start: Buffer): Promise<UnreadableFile> {
    if (error.cause !== undefined || this.loader.feeds.find(name) !== undefined) return error;
    const hint = await hintOfShipped(start);
    return hint === '' ? error : new UnreadableFile(`${error.message}${hint}`);
  }

  /** Looks at the table again for the sake of a file whose header does not fit. @returns whether it is another one now. */
  private async hasChangedSince(table: TargetTable, name: string): Promise<boolean> {
    const { pool, target } = this.loader;
    await pool.use('urgent', `cannot look at ${table.name} for ${printableLine(name)}`, (connection) =>
      target.refresh(connection),
    );
    return target.table.fingerprint !== table.fingerprint;
  }

  /** Runs a task that sees these files to their end; its failure is theirs, or everyone's when it is the database's. */
  private start(names: readonly string[], action: () => Promise<void>): Promise<void> {
    const task = action()
      .catch((error: unknown) => {
        for (const name of names) this.fileFailed(name, error);
      })
      .finally(() => {
        for (const name of names) this.inFlight.delete(name);
        this.tasks.delete(task);
        this.tasksEnded += 1;
        this.wake.notify();
      });
    this.tasks.add(task);
    return task;
  }

  /**
   * A file that did not leave the directory at its end is another one by now, and is listed again at once; but not again
   * and again: one that is written to for hours would be loaded each time.
   */
  private ended(name: string, isOut: boolean): void {
    if (isOut) this.returned.delete(name);
    else if (this.returned.has(name)) this.fileFailed(name, new FileChanged(this.pathOf(name)));
    else this.returned.add(name);
  }

  private pathOf(name: string): string {
    return path.join(this.settings.inputDir, name);
  }

  private fileFailed(name: string, cause: unknown): void {
    this.inFlight.delete(name);
    if (cause instanceof NotARegularFile) return;
    // Asked to stop, we cancelled what waited for a lock: it is rolled back, as it would be were we killed.
    if (cause instanceof InterruptedError && isCancelled(cause.cause) && this.context.stop.aborted) return;
    const file = this.pathOf(name);
    const unnamable = errnoOf(cause) === 'ENOENT' ? nameError(this.settings.inputDir, name) : undefined;
    const error = unnamable ?? asFileError(cause, 'load', file);
    // Gone between listing and opening: another process was faster, or its owner took it back. ENOENT alone does not say so:
    // when archive/ is what is missing, the file would be listed again at once, for ever, and nobody would hear of it.
    if (error instanceof EcompipeError && 'errno' in error && error.errno === 'ENOENT' && !existsSync(file)) return;
    if (!(error instanceof EcompipeError) || !('path' in error)) {
      this.fatal ??= { error };
      this.halt.abort();
      return;
    }
    const { attempt, retryInMs } = this.failures.record(name, error, performance.now());
    this.context.emit({
      type: 'fileFailed',
      file: name,
      error,
      attempt,
      retryInMs: this.context.drain.aborted ? undefined : retryInMs,
    });
  }
}
