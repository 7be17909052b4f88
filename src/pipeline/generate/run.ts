import { rmdirSync } from 'node:fs';
import path from 'node:path';
import { EVENT_COLUMNS } from '../../core/events/columns.js';
import { generatedFileName } from '../../core/files/names.js';
import { syncDirectory } from '../../core/files/publish.js';
import { MANIFEST_VERSION, type FileLine, type RunLine } from '../../core/manifest/format.js';
import { Tally } from '../../core/manifest/tally.js';
import { Breather } from '../../core/runtime/breather.js';
import type { StageContext } from '../../core/runtime/stage.js';
import { version } from '../../core/runtime/version.js';
import { EventSource } from './eventSource.js';
import type { GenerateEvent, GenerateResult } from './events.js';
import { EVENT_TYPE_NAMES } from './eventTypes.js';
import { Journal } from './journal.js';
import { Pacer } from './pacer.js';
import { LONGEST_ROW } from './rowWriter.js';
import { planRun, runIdOf, type GenerateSettings, type Plan } from './settings.js';
import { STAGING_DIRECTORY, StagedFile } from './stagedFile.js';

const HEADER = Buffer.from(`${EVENT_COLUMNS.join(',')}\n`);
const CHUNK_BYTES = 256 * 1024;
/** Faster files are not forced to disk one by one: their seed can make them again. */
const DURABLE_INTERVAL_MS = 100;

/**
 * Generates events as CSV files until the wanted number is reached or the context says stop; `drain` means the same.
 * A file that is being written is then cut short and published.
 *
 * @throws UsageError when settings are wrong, FileError when a directory or file can't be used.
 */
export async function runGenerate(settings: GenerateSettings, context: StageContext<GenerateEvent>): Promise<GenerateResult> {
  const plan = planRun(settings, Date.now());
  const source = await EventSource.create(plan);
  const runId = runIdOf(plan);
  const journal = Journal.create(plan.manifestDir, runId);
  try {
    return await new Run(plan, runId, source, journal, context).toEnd();
  } finally {
    journal.close();
  }
}

/** One run: files in a row, each sealed, entered in the manifest, and only then published. */
class Run {
  private readonly started = performance.now();
  private readonly buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES + LONGEST_ROW);
  private readonly tally = new Tally(EVENT_TYPE_NAMES);
  private readonly breather = new Breather();
  private files = 0;
  private rows = 0;
  private bytes = 0;

  constructor(
    private readonly plan: Plan,
    private readonly runId: string,
    private readonly source: EventSource,
    private readonly journal: Journal,
    private readonly context: StageContext<GenerateEvent>,
  ) {}

  async toEnd(): Promise<GenerateResult> {
    const { plan, runId, source, journal, context } = this;
    const { stop, drain } = context;
    journal.append(runLine(plan, runId));
    const start = new Date(plan.traffic.startMs).toISOString();
    context.emit({ type: 'runStarted', runId, seed: plan.seed, start, profile: plan.profile.name, manifest: journal.path });
    const pacer = new Pacer(plan.pace);
    while (this.files < plan.batches && source.count < plan.events) {
      await pacer.untilDue(this.files, stop, drain);
      if (this.isStopping()) break;
      await this.makeFile(Math.min(plan.batchSize, plan.events - source.count));
    }
    journal.append({ line: 'end', files: this.files, events: source.count, rows: this.rows });
    journal.sync();
    removeIfEmpty(path.join(plan.outputDir, STAGING_DIRECTORY));
    return { runId, seed: plan.seed, start, manifest: journal.path, files: this.files, events: source.count, rows: this.rows, bytes: this.bytes, durationMs: performance.now() - this.started };
  }

  private async makeFile(events: number): Promise<void> {
    const { plan, journal, context } = this;
    const name = generatedFileName(this.runId, this.files);
    const durable = plan.pace !== undefined && plan.pace.fileIntervalMs >= DURABLE_INTERVAL_MS;
    const file = StagedFile.create(plan.outputDir, name);
    let line: FileLine;
    try {
      line = await this.writeFile(file, name, events, durable);
      journal.append(line);
      if (durable) journal.sync();
    } catch (error) {
      file.discard();
      throw error;
    }
    context.emit({ type: 'fileSealed', file: name });
    try {
      file.publish();
    } catch (error) {
      journal.append({ line: 'withdrawn', file: name });
      file.discard();
      throw error;
    }
    if (durable) await syncDirectory(plan.outputDir);
    this.files++;
    this.rows += line.rows;
    this.bytes += line.bytes;
    const { rows, bytes, firstEventTime, lastEventTime } = line;
    context.emit({ type: 'filePublished', file: name, path: file.publishedPath, rows, bytes, firstEventTime, lastEventTime });
    if (this.breather.isDue) await this.breather.rest();
  }

  /** Writes up to `events` events, fewer when the run is stopping, and says what they add up to. */
  private async writeFile(file: StagedFile, name: string, events: number, durable: boolean): Promise<FileLine> {
    const { source, buffer, tally } = this;
    const { writer } = source;
    const firstEvent = source.count;
    let firstMs = 0;
    let position = HEADER.copy(buffer);
    tally.reset();
    for (let count = 0; count < events; count++) {
      position = source.writeNext(buffer, position);
      if (count === 0) firstMs = source.timeMs;
      tally.add(writer.type, writer.moneyCents, writer.idHigh16, writer.idLow32, writer.content);
      if (position < CHUNK_BYTES) continue;
      file.write(buffer.subarray(0, position));
      position = 0;
      if (this.breather.isDue) await this.breather.rest();
      if (this.isStopping()) break;
    }
    file.write(buffer.subarray(0, position));
    return {
      line: 'file',
      file: name,
      sequence: this.files,
      sha256: file.seal(durable),
      bytes: file.bytes,
      rows: tally.rows,
      distinctIds: tally.rows,
      firstEvent,
      events: source.count - firstEvent,
      loaded: tally.rows,
      loadedByType: tally.byType(),
      ...tally.fingerprint(),
      duplicates: {},
      rejects: {},
      quarantined: null,
      fileFaults: [],
      firstEventTime: new Date(firstMs).toISOString(),
      lastEventTime: new Date(source.timeMs).toISOString(),
      staged: file.staged,
    };
  }

  private isStopping(): boolean {
    return this.context.stop.aborted || this.context.drain.aborted;
  }
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
