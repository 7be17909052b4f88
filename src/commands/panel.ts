import { Chalk, type ChalkInstance } from 'chalk';
import ora from 'ora';
import { readBacklog } from '../contract/backlog.js';
import type { ListOptions } from '../contract/listFiles.js';
import { countOf, formatCount, formatSpan } from '../platform/format.js';
import { type Logger } from '../platform/log.js';
import { printable } from '../platform/printable.js';
import { terminalSize } from '../platform/terminal.js';
import { TimeWindow } from '../platform/timeWindow.js';
import type { PipelineState } from '../pipeline/pipelineState.js';
import { redrawOnResize } from './progress.js';

const REFRESH_MS = 250;
const BACKLOG_INTERVAL_MS = 1000;
const PLAIN_INTERVAL_MS = 10_000;
/** Speed over the last seconds. */
const WINDOW_MS = 5000;

/** Shows what the pipeline does while it runs. */
export interface ProgressDisplay {
  /** Takes the display away so that something else can be printed. */
  stop(): void;
}

export interface DisplayOptions {
  readonly interactive: boolean;
  readonly color: boolean;
  readonly quiet: boolean;
  readonly log: Logger;
  readonly incomingDir: string;
  readonly processingDir: string;
  readonly listing: ListOptions;
}

/** Files that wait, as the directories say: whoever else brings or takes some counts too. */
export interface Waiting {
  readonly incoming: number;
  readonly processing: number;
}

/** A live panel on a terminal; elsewhere a plain line every 10 s. */
export function showProgress(state: PipelineState, options: DisplayOptions): ProgressDisplay {
  if (options.quiet) return { stop: () => undefined };
  return options.interactive ? showPanel(state, options) : showLines(state, options.log);
}

function showPanel(state: PipelineState, options: DisplayOptions): ProgressDisplay {
  const chalk = new Chalk({ level: options.color ? 1 : 0 });
  const spinner = ora({ stream: process.stderr, discardStdin: false, color: 'cyan' });
  const speed = new TimeWindow<keyof Rate>(WINDOW_MS);
  const backlog = watchBacklog(options);
  const update = (): void => {
    const { generate, stream } = state.stages;
    speed.add(performance.now(), { generated: generate.figures.rows, loaded: stream.figures.rows.inserted });
    const rate = { generated: speed.perSecond('generated') ?? 0, loaded: speed.perSecond('loaded') ?? 0 };
    const columns = terminalSize(process.stderr)?.columns ?? 80;
    spinner.text = panelText(state, rate, backlog.waiting(), columns, chalk);
  };
  update();
  spinner.start();
  const endRedrawing = redrawOnResize(spinner);
  const timer = setInterval(update, REFRESH_MS);
  return {
    stop: () => {
      clearInterval(timer);
      backlog.close();
      endRedrawing();
      spinner.stop();
    },
  };
}

/** Looks at the two directories every second, one look at a time. */
function watchBacklog({ incomingDir, processingDir, listing }: DisplayOptions): {
  readonly waiting: () => Waiting;
  readonly close: () => void;
} {
  let waiting: Waiting = { incoming: 0, processing: 0 };
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    const [incoming, processing] = await Promise.all([
      readBacklog(incomingDir, listing),
      readBacklog(processingDir, listing),
    ]);
    waiting = { incoming: incoming.files, processing: processing.files };
    isLooking = false;
  };
  // What can't be listed counts as empty; a display must not end the pipeline.
  const timer = setInterval(() => void look().catch(() => undefined), BACKLOG_INTERVAL_MS);
  return { waiting: () => waiting, close: () => clearInterval(timer) };
}

function showLines({ stages: { generate, stream } }: PipelineState, log: Logger): ProgressDisplay {
  const timer = setInterval(() => {
    const { rows: generatedRows, files: generatedFiles } = generate.figures;
    const { rows, filesLoaded: loadedFiles } = stream.figures;
    log.info(
      'progress',
      `generated ${countOf(generatedRows, 'row')} in ${countOf(generatedFiles, 'file')}, loaded ${countOf(rows.inserted, 'row')} from ${countOf(loadedFiles, 'file')}, rejected ${formatCount(rows.rejected)}`,
      { generatedRows, insertedRows: rows.inserted, rejectedRows: rows.rejected, generatedFiles, loadedFiles },
    );
  }, PLAIN_INTERVAL_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** Rows a second. */
interface Rate {
  readonly generated: number;
  readonly loaded: number;
}

/** The panel for a terminal of this width; every line fits, so that redrawing never leaves parts behind. */
export function panelText(
  state: PipelineState,
  rate: Rate,
  waiting: Waiting,
  columns: number,
  chalk: ChalkInstance,
): string {
  const { generate, stream } = state.stages;
  const { seed } = generate.figures;
  const { rows, filesLoaded, filesQuarantined, filesRedelivered, lastBatch } = stream.figures;
  const line = (name: string, parts: readonly string[]): string => fit(name, parts, columns - 4);
  const amount = (rowCount: number, files: number, rowsPerSecond: number): string[] => [
    countOf(rowCount, 'row'),
    `${formatCount(rowsPerSecond)}/s`,
    countOf(files, 'file'),
  ];
  const lines = [
    chalk.bold(
      fit(
        'ecompipe',
        [
          'run-all',
          formatSpan(Math.floor(performance.now() - state.startedAtMs)),
          'Ctrl-C drains and ends',
          ...(seed === undefined ? [] : [`seed ${seed}`]),
        ],
        columns - 4,
      ),
    ),
    '',
    line('generated', amount(generate.figures.rows, generate.figures.files, rate.generated)),
    line('loaded', amount(rows.inserted, filesLoaded, rate.loaded)),
    line('waiting', [
      `${formatCount(waiting.incoming)} in incoming`,
      `${formatCount(waiting.processing)} in processing`,
    ]),
    line('rejected', [
      countOf(rows.rejected, 'row'),
      `${countOf(filesQuarantined, 'file')} in quarantine`,
      countOf(rows.duplicate, 'duplicate'),
      ...(filesRedelivered === 0 ? [] : [`${countOf(filesRedelivered, 'file')} loaded before`]),
    ]),
    ...(state.dashboardUrl === undefined ? [] : [line('dashboard', [state.dashboardUrl])]),
    ...(lastBatch === undefined
      ? []
      : [line('batch', [`${lastBatch.id}: ${countOf(lastBatch.rows, 'row')} in ${formatSpan(lastBatch.durationMs)}`])]),
    ...(state.attention === undefined
      ? []
      : [chalk.yellow(line('attention', [printable(state.attention).replaceAll('\n', ' ')]))]),
  ];
  return lines.join('\n  ');
}

/** As many of the parts as fit, the most important first; only the first one is ever cut, at a word if it can be. */
function fit(name: string, [first = '', ...rest]: readonly string[], columns: number): string {
  const width = Math.max(20, columns);
  let text = `${name.padEnd(9)}  ${first}`;
  if (text.length > width) {
    const cut = text.slice(0, width - 1);
    return `${cut.slice(0, Math.max(cut.lastIndexOf(' '), 12)).trimEnd()}…`;
  }
  for (const part of rest) {
    if (text.length + part.length + 3 > width) break;
    text += `   ${part}`;
  }
  return text;
}
