import { rmdirSync } from 'node:fs';
import path from 'node:path';
import { generatedFileName } from '../../contract/fileNames.js';
import { syncDirectory } from '../../platform/files/publish.js';
import { MANIFEST_VERSION, type FileLine, type RunLine } from '../../contract/manifest/format.js';
import { EventLoopYielder } from '../../platform/eventLoopYielder.js';
import { failpoint } from '../../platform/failpoint.js';
import type { StageContext } from '../../platform/stage.js';
import { version } from '../../platform/version.js';
import { FaultInjector } from './faults/faultInjector.js';
import { EventSource, keyOf } from './eventSource.js';
import type { GenerateEvent, GenerateResult } from './generateEvents.js';
import { FileTally, FileWriter, CleanPass, type FilePlan, type RowTransform } from './rowTransform.js';
import { ManifestWriter } from './manifestWriter.js';
import { planRun, runIdOf, type GenerateSettings, type Plan, type Pace } from './settings.js';
import { STAGING_DIRECTORY, StagedFile } from './stagedFile.js';
import { pause } from '../../platform/wait.js';

/** Faster files are not forced to disk one by one: their seed can make them again. */
const DURABLE_INTERVAL_MS = 100;

/** Few files load fastest; enough of them to see a bar move. */
const HISTORY_FILE_EVENTS = 20_000;

/**
 * Generates events as CSV files until the wanted number is reached or the context says stop; `drain` means the same.
 * A file that is being written is then cut short and published.
 *
 * @throws UsageError when settings are wrong, FileError when a directory or file can't be used.
 */
export async function runGenerate(
  settings: GenerateSettings,
  context: StageContext<GenerateEvent>,
): Promise<GenerateResult> {
  const plan = planRun(settings, Date.now());
  const source = await EventSource.create(plan);
  const runId = runIdOf(plan);
  const journal = ManifestWriter.create(plan.manifestDir, runId);
  try {
    return await new Run(plan, runId, source, journal, context).toEnd();
  } finally {
    journal.close();
    removeIfEmpty(path.join(plan.outputDir, STAGING_DIRECTORY));
  }
}

/** One run: files in a row, each sealed, entered in the manifest, and only then published. */
class Run {
  private readonly started = performance.now();
  private readonly writer = new FileWriter();
  private readonly account = new FileTally();
  private readonly yielder = new EventLoopYielder();
  private readonly pass: RowTransform;
  private readonly isDurable: boolean;
  /** The files that are being made hold events of the history. */
  private isHistory = false;
  private batches = 0;
  private files = 0;
  private rows = 0;
  private bytes = 0;

  constructor(
    private readonly plan: Plan,
    private readonly runId: string,
    private readonly source: EventSource,
    private readonly journal: ManifestWriter,
    private readonly context: StageContext<GenerateEvent>,
  ) {
    this.pass =
      Object.keys(plan.dirt).length === 0
        ? new CleanPass()
        : new FaultInjector(plan.dirt, keyOf(plan), (fault) => journal.add(fault));
    this.isDurable = plan.pace !== undefined && plan.pace.fileIntervalMs >= DURABLE_INTERVAL_MS;
  }

  async toEnd(): Promise<GenerateResult> {
    const { plan, runId, source, journal, context, pass } = this;
    journal.append(runLine(plan, runId));
    const start = new Date(plan.traffic.startMs).toISOString();
    context.emit({
      type: 'runStarted',
      runId,
      seed: plan.seed,
      start,
      historyStart: isoTime(plan.traffic.history?.startMs),
      profile: plan.profile.name,
      manifest: journal.path,
    });
    // Counted from here, so that the times of the live events are those of the clock however long the history takes.
    const pacer = new Pacer(plan.pace);
    if (plan.traffic.history !== undefined) await this.makeHistory();
    const eventsMade = (): number => source.count - source.historyEvents;
    while (this.batches < plan.batches && eventsMade() < plan.events) {
      await pacer.untilDue(this.batches, context.stop, context.drain);
      if (this.isStopping()) break;
      this.batches++;
      const events = Math.min(plan.batchSize, plan.events - eventsMade());
      const isFinal = this.batches === plan.batches || eventsMade() + events === plan.events;
      for (const outline of pass.outlines(events, isFinal)) await this.makeFile(outline);
    }
    if (pass.pending > 0) for (const outline of pass.outlines(0, true)) await this.makeFile(outline);
    journal.append({ line: 'end', files: this.files, events: source.count, rows: this.rows });
    journal.sync();
    return {
      runId,
      seed: plan.seed,
      start,
      manifest: journal.path,
      files: this.files,
      events: source.count,
      rows: this.rows,
      bytes: this.bytes,
      durationMs: performance.now() - this.started,
    };
  }

  private async makeHistory(): Promise<void> {
    const { source, pass, context } = this;
    this.isHistory = true;
    while (source.isInHistory && !this.isStopping())
      for (const outline of pass.outlines(HISTORY_FILE_EVENTS, false)) await this.makeFile(outline);
    this.isHistory = false;
    context.emit({ type: 'historyGenerated', files: this.files, rows: this.rows, wasCutShort: this.isStopping() });
  }

  private async makeFile(outline: FilePlan): Promise<void> {
    const sequences = outline.twice ? [this.files, this.files + 1] : [this.files];
    const files: StagedFile[] = [];
    try {
      for (const sequence of sequences)
        files.push(StagedFile.create(this.plan.outputDir, this.nameOf(sequence, outline)));
      let line: FileLine | undefined;
      for (const file of files) {
        line =
          line === undefined
            ? await this.writeFiles(files, outline)
            : { ...line, file: file.name, sequence: this.files, redeliveryOf: line.file, staged: file.staged };
        await this.publish(file, line);
      }
    } catch (error) {
      for (const file of files) file.discard();
      throw error;
    }
    if (this.yielder.shouldYield) await this.yielder.yield();
  }

  /** The manifest first, then the file: killed in between, the manifest names a file that is not there, and the next run can see that. */
  private async publish(file: StagedFile, line: FileLine): Promise<void> {
    const { journal, context } = this;
    failpoint('file-sealed');
    journal.append(line);
    if (this.isDurable) journal.sync();
    context.emit({ type: 'fileSealed', file: file.name });
    failpoint('before-publish');
    try {
      file.publish();
    } catch (error) {
      journal.append({ line: 'withdrawn', file: file.name });
      throw error;
    }
    failpoint('after-publish');
    if (this.isDurable) await syncDirectory(this.plan.outputDir);
    this.files++;
    this.rows += line.rows;
    this.bytes += line.bytes;
    const { rows, bytes, firstEventTime, lastEventTime } = line;
    context.emit({
      type: 'filePublished',
      file: file.name,
      path: file.publishedPath,
      rows,
      bytes,
      isHistory: this.isHistory,
      firstEventTime,
      lastEventTime,
    });
  }

  /** Writes the events of an outline, fewer when the run is stopping, and says what they add up to. */
  private async writeFiles(files: readonly StagedFile[], outline: FilePlan): Promise<FileLine> {
    const { source, writer, account, pass } = this;
    const [file] = files as readonly [StagedFile];
    const firstEvent = source.count;
    let firstMs: number | undefined;
    account.reset();
    writer.begin(files, outline.encode);
    writer.write(outline.header);
    pass.begin(outline, { name: file.name, sequence: this.files }, writer, account);
    for (let count = 0; count < outline.events; count++) {
      if (writer.makeRoom()) {
        if (this.yielder.shouldYield) await this.yielder.yield();
        if (this.isStopping()) break;
      }
      if (this.isHistory && !source.isInHistory) break;
      const start = writer.position;
      writer.position = source.writeNext(writer.buffer, start);
      firstMs ??= source.timeMs;
      pass.row(source, start, writer, account);
    }
    const findings = pass.finish(writer);
    writer.end();
    const sha256s = files.map((each) => each.seal(this.isDurable));
    return {
      line: 'file',
      file: file.name,
      sequence: this.files,
      sha256: sha256s[0] as string,
      bytes: file.bytes,
      firstEvent,
      events: source.count - firstEvent,
      ...account.sums(),
      ...findings,
      redeliveryOf: null,
      firstEventTime: isoTime(firstMs),
      lastEventTime: firstMs === undefined ? null : isoTime(source.timeMs),
      staged: file.staged,
    };
  }

  private nameOf(sequence: number, { ending }: FilePlan): string {
    return generatedFileName(this.runId, sequence).replace(/\.csv$/, ending);
  }

  private isStopping(): boolean {
    return this.context.stop.aborted || this.context.drain.aborted;
  }
}

function isoTime(epochMs: number | undefined): string | null {
  return epochMs === undefined ? null : new Date(epochMs).toISOString();
}

function runLine(plan: Plan, runId: string): RunLine {
  const { seed, profile, products, users, batchSize, batches, events, pace, traffic, dirt, outputDir } = plan;
  return {
    line: 'run',
    manifestVersion: MANIFEST_VERSION,
    runId,
    version: version(),
    seed,
    start: new Date(traffic.startMs).toISOString(),
    historyStart: isoTime(traffic.history?.startMs),
    profile: profile.name,
    products,
    users: users ?? null,
    batchSize,
    batches: finiteOrNull(batches),
    events: finiteOrNull(events),
    ratePerSecond: pace?.eventsPerSecond ?? null,
    visitsPerDay: traffic.visitsPerDay,
    dirt,
    outputDir: path.resolve(outputDir),
  };
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Missing, or another run is using it.
  }
}

/** Lets files out on a fixed schedule. It is counted from the start, so that late files never add up to a lower rate. */
export class Pacer {
  private readonly startedMs = performance.now();

  constructor(private readonly pace: Pace | undefined) {}

  /** Waits until the `sequence`-th file (from 0) is due, or a signal aborts. The first one is due at once. */
  async untilDue(sequence: number, ...signals: readonly AbortSignal[]): Promise<void> {
    if (this.pace === undefined) return;
    const dueMs = this.startedMs + sequence * this.pace.fileIntervalMs;
    const waitMs = dueMs - performance.now();
    // Timers count whole milliseconds, and 2³¹ of them at most.
    if (waitMs >= 1) await pause(Math.min(waitMs, 2 ** 31 - 1), ...signals);
  }
}
