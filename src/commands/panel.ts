import { Chalk, type ChalkInstance } from 'chalk';
import ora from 'ora';
import { terminalSize } from '../platform/terminal.js';
import { printable, type Logger } from '../platform/log.js';
import type { PipelineState } from '../pipeline/pipelineState.js';
import { redrawOnResize } from './progress.js';

const REFRESH_MS = 250;
const PLAIN_INTERVAL_MS = 10_000;

/** Shows what the pipeline does while it runs. */
export interface ProgressDisplay {
  /** Takes the display away so that something else can be printed. */
  stop(): void;
}

/** A live panel on a terminal; elsewhere a plain line every 10 s. */
export function showProgress(
  state: PipelineState,
  options: { readonly interactive: boolean; readonly color: boolean; readonly quiet: boolean; readonly log: Logger },
): ProgressDisplay {
  if (options.quiet) return { stop: () => undefined };
  return options.interactive
    ? showPanel(state, new Chalk({ level: options.color ? 1 : 0 }))
    : showLines(state, options.log);
}

function showPanel(state: PipelineState, chalk: ChalkInstance): ProgressDisplay {
  const rates = new Rates(state);
  const spinner = ora({ stream: process.stderr, discardStdin: false, color: 'cyan' });
  const update = (): void => {
    spinner.text = panelText(state, rates.next(performance.now()), terminalSize(process.stderr)?.columns ?? 80, chalk);
  };
  update();
  spinner.start();
  const endRedrawing = redrawOnResize(spinner);
  const timer = setInterval(update, REFRESH_MS);
  return {
    stop: () => {
      clearInterval(timer);
      endRedrawing();
      spinner.stop();
    },
  };
}

function showLines(state: PipelineState, log: Logger): ProgressDisplay {
  const timer = setInterval(() => {
    const { generatedRows, insertedRows, rejectedRows, generatedFiles, loadedFiles } = state;
    log.info(
      'progress',
      `generated ${format(generatedRows)} rows in ${format(generatedFiles)} files, loaded ${format(insertedRows)} rows from ${format(loadedFiles)} files, rejected ${format(rejectedRows)}`,
      { generatedRows, insertedRows, rejectedRows, generatedFiles, loadedFiles },
    );
  }, PLAIN_INTERVAL_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

interface Rate {
  readonly generated: number;
  readonly loaded: number;
}

/** Rows a second over the last few seconds. */
class Rates {
  private readonly window: { atMs: number; generated: number; loaded: number }[] = [];
  constructor(private readonly state: PipelineState) {}

  next(nowMs: number): Rate {
    this.window.push({ atMs: nowMs, generated: this.state.generatedRows, loaded: this.state.insertedRows });
    while ((this.window[0]?.atMs ?? nowMs) < nowMs - 5000 && this.window.length > 2) this.window.shift();
    const first = this.window[0];
    const seconds = first === undefined ? 0 : (nowMs - first.atMs) / 1000;
    if (first === undefined || seconds < 0.2) return { generated: 0, loaded: 0 };
    return {
      generated: (this.state.generatedRows - first.generated) / seconds,
      loaded: (this.state.insertedRows - first.loaded) / seconds,
    };
  }
}

/** The panel for a terminal of this width; every line fits, so that redrawing never leaves parts behind. */
export function panelText(state: PipelineState, rate: Rate, columns: number, chalk: ChalkInstance): string {
  const seconds = Math.floor((performance.now() - state.startedAtMs) / 1000);
  const line = (name: string, rows: number, files: number, note: string): string =>
    `${name.padEnd(9)} ${format(rows).padStart(13)} rows ${format(files).padStart(9)} files  ${note}`;
  const waiting = [
    Math.max(0, state.generatedFiles - state.movedFiles),
    Math.max(0, state.movedFiles - state.loadedFiles - state.quarantinedFiles),
  ];
  const lines = [
    `ecompipe run-all  ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}${state.seed === undefined ? '' : `  seed ${state.seed}`}  Ctrl-C drains and ends`,
    '',
    line('generated', state.generatedRows, state.generatedFiles, `${format(Math.round(rate.generated))}/s`),
    line('loaded', state.insertedRows, state.loadedFiles, `${format(Math.round(rate.loaded))}/s`),
    `${'waiting'.padEnd(9)} ${format(waiting[0] ?? 0)} files in incoming, ${format(waiting[1] ?? 0)} in processing`,
    `${'rejected'.padEnd(9)} ${format(state.rejectedRows).padStart(13)} rows ${format(state.quarantinedFiles).padStart(9)} files  ${format(state.duplicateRows)} duplicates`,
    state.dashboardUrl === undefined ? '' : `${'dashboard'.padEnd(9)} ${state.dashboardUrl}`,
    state.lastBatch === undefined
      ? ''
      : `${'batch'.padEnd(9)} ${state.lastBatch.id}: ${format(state.lastBatch.rows)} rows in ${state.lastBatch.durationMs} ms`,
    state.lastProblem === undefined
      ? ''
      : `${'attention'.padEnd(9)} ${printable(state.lastProblem).replaceAll('\n', ' ')}`,
  ].map((text) => text.slice(0, Math.max(20, columns - 4)));
  return lines
    .map((text, index) => (index === 0 ? chalk.bold(text) : text.startsWith('attention') ? chalk.yellow(text) : text))
    .filter((text, index) => text !== '' || index === 1)
    .join('\n  ');
}

function format(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}
