import { readBacklog } from '../contract/backlog.js';
import { withConnection, type Database } from '../platform/db/target.js';
import { assertDistinctDirectories } from '../platform/files/distinctDirectories.js';
import { ensureDirectory } from '../platform/files/ensureDirectory.js';
import type { Logger } from '../platform/log.js';
import { untilAborted } from '../platform/wait.js';
import type { GenerateResult } from './generate/generateEvents.js';
import { runGenerate } from './generate/runGenerate.js';
import type { GenerateSettings } from './generate/settings.js';
import type { PipelineEvent } from './pipelineEvents.js';
import { runMigrate } from './migrate/runMigrate.js';
import type { MoveResult, MoveSettings } from './move/moveEvents.js';
import { runMove } from './move/runMove.js';
import type { StreamResult, StreamSettings } from './stream/streamEvents.js';
import { runStream } from './stream/runStream.js';
import { EVENTS_TABLE } from './stream/targetTable.js';
import { boolean, queryRow } from '../platform/db/decodeRows.js';

export interface StagesSettings {
  /** A history is left out where the table holds events already, or files wait for it: it would be there twice. */
  readonly generate: GenerateSettings;
  readonly move: MoveSettings;
  readonly stream: StreamSettings;
  /** Stop generating so many milliseconds after the first live event. Default: when the generator has what was asked for, or at `stop`. */
  readonly durationMs?: number | undefined;
  /** End when everything that was generated is loaded, instead of waiting for more files from elsewhere. */
  readonly untilDrained: boolean;
}

export interface RunAllContext {
  /** Stops the generator; what it has published is still moved and loaded. */
  readonly stop: AbortSignal;
  readonly log: Logger;
  readonly emit: (event: PipelineEvent) => void;
}

export interface RunAllResult {
  readonly generated: GenerateResult;
  readonly moved: MoveResult;
  readonly loaded: StreamResult;
}

/**
 * Runs the whole pipeline in one process: migrate, then the three stages side by side. They end in the order of the data
 * flow: when the generator is done (or told to stop), the mover drains incoming/, then the loader drains processing/.
 * @throws what made the first stage fail; the others are stopped then, and nothing is lost.
 */
export async function runAll(
  settings: StagesSettings,
  database: Database,
  context: RunAllContext,
): Promise<RunAllResult> {
  for (const directory of [settings.move.from, settings.move.to]) await ensureDirectory(directory);
  await assertDistinctDirectories({
    '--output-dir': settings.move.from,
    PROCESSING_PATH: settings.move.to,
    ...(settings.stream.afterLoad === 'archive' ? { '--archive-dir': settings.stream.archiveDir } : {}),
    '--quarantine-dir': settings.stream.quarantineDir,
  });
  await runMigrate(database, 'apply', context);
  return await new Supervisor(settings, database, context).run();
}

class Supervisor {
  /** Ends the generator: at the user's wish, after the duration, or because a stage failed. */
  private readonly generating = new AbortController();
  private readonly moveDrain = new AbortController();
  private readonly streamDrain = new AbortController();
  private readonly failed = new AbortController();
  private readonly streamStarted = new AbortController();
  /** Files that this process published and has not moved yet. */
  private readonly published = new Set<string>();
  private failure: { readonly error: unknown } | undefined;

  constructor(
    private readonly settings: StagesSettings,
    private readonly database: Database,
    private readonly context: RunAllContext,
  ) {}

  async run(): Promise<RunAllResult> {
    const { stop } = this.context;
    const endGenerating = (): void => this.generating.abort();
    stop.addEventListener('abort', endGenerating, { once: true });
    if (stop.aborted) endGenerating();
    const loading = this.supervise(() =>
      runStream(this.settings.stream, this.database, this.stageContext('stream', this.streamDrain)),
    );
    // Whether this is the only pipeline here is known only now; before, nothing may be generated.
    await untilAborted(this.streamStarted.signal, this.failed.signal);
    const moving = this.supervise(() =>
      runMove(
        { ...this.settings.move, isPublished: (name) => this.published.has(name) },
        this.stageContext('move', this.moveDrain),
      ),
    );
    const generated = await this.supervise(() => this.generate());
    if (!this.settings.untilDrained && !stop.aborted && this.failure === undefined) {
      this.context.log.info(
        'generating_finished',
        'generating is finished; moving and loading go on until Ctrl-C (with --until-drained, run-all ends here)',
      );
      await untilAborted(stop, this.failed.signal);
    }
    this.moveDrain.abort();
    const moved = await moving;
    this.streamDrain.abort();
    const loaded = await loading;
    stop.removeEventListener('abort', endGenerating);
    if (this.failure !== undefined) throw this.failure.error;
    if (generated === undefined || moved === undefined || loaded === undefined)
      throw new TypeError('a stage ended without result or failure');
    return { generated, moved, loaded };
  }

  private async generate(): Promise<GenerateResult> {
    const settings = await this.generateSettings();
    const { durationMs } = this.settings;
    let timer: NodeJS.Timeout | undefined;
    const beginLive = (): void => {
      if (durationMs !== undefined) timer = setTimeout(() => this.generating.abort(), durationMs);
    };
    const { log, emit } = this.context;
    if (settings.historyMs === undefined) beginLive();
    try {
      const stop = this.generating.signal;
      return await runGenerate(settings, {
        log,
        stop,
        drain: stop,
        emit: (event) => {
          if (event.type === 'filePublished') this.published.add(event.file);
          if (event.type === 'historyGenerated') beginLive();
          emit({ stage: 'generate', event });
        },
      });
    } finally {
      clearTimeout(timer);
    }
  }

  private async generateSettings(): Promise<GenerateSettings> {
    const { generate, move } = this.settings;
    if (generate.historyMs === undefined) return generate;
    const { historyMs, ...live } = generate;
    const backlogs = await Promise.all([readBacklog(move.from), readBacklog(move.to)]);
    const why = backlogs.some(({ files }) => files > 0)
      ? 'files of an earlier run wait'
      : (await holdsEvents(this.database))
        ? 'the table holds events already'
        : undefined;
    if (why === undefined) return generate;
    this.context.log.info('history_left_out', `no history: ${why}`, { historyMs });
    return live;
  }

  private stageContext<Stage extends 'move' | 'stream'>(stage: Stage, drain: AbortController) {
    const emit = (event: Extract<PipelineEvent, { stage: Stage }>['event']): void => {
      if (event.type === 'streamStarted') this.streamStarted.abort();
      if (event.type === 'fileMoved') this.published.delete(event.name);
      this.context.emit({ stage, event } as PipelineEvent);
    };
    return { log: this.context.log, stop: this.failed.signal, drain: drain.signal, emit };
  }

  /** Runs a stage; the first failure stops all, and is the one that counts. */
  private async supervise<T>(stage: () => Promise<T>): Promise<T | undefined> {
    try {
      if (this.failed.signal.aborted) return undefined;
      return await stage();
    } catch (error) {
      this.failure ??= { error };
      this.failed.abort();
      this.generating.abort();
      return undefined;
    }
  }
}

async function holdsEvents(database: Database): Promise<boolean> {
  return await withConnection(database, `cannot look into ${EVENTS_TABLE}`, async ({ client }) => {
    const { found } = await queryRow(
      client,
      { found: boolean },
      `select exists (select from ${EVENTS_TABLE}) as found`,
    );
    return found;
  });
}
