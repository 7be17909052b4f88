import ora, { type Ora } from 'ora';
import { Chalk } from 'chalk';
import { terminalSize } from '../platform/terminal.js';
import { formatBytes, formatCount, formatSpan } from '../platform/format.js';
import { TimeWindow } from '../platform/timeWindow.js';
import type { CommandContext } from './command.js';

const REFRESH_MS = 200;
/** What ends sooner needs no bar. */
const SHOW_AFTER_MS = 500;
const BAR_WIDTH = 24;
/** Speed over the last seconds: that of an hour ago says little about the time left. */
const WINDOW_MS = 10_000;

/** How far a job has come. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly rows: number;
}

export interface ProgressBar {
  /** Takes the bar away, so that something else can be printed. */
  readonly stop: () => void;
}

/**
 * Draws anew when the terminal changes its size. It has wrapped the old lines anew by then, at places that nobody can
 * know: clearing the visible screen is the only way not to leave parts of them behind. What has scrolled away stays.
 * @returns ends it.
 */
export function redrawOnResize(spinner: Ora): () => void {
  const redraw = (): void => {
    if (!spinner.isSpinning) return;
    process.stderr.write(CLEAR_SCREEN);
    spinner.render();
  };
  process.stderr.on('resize', redraw);
  return () => process.stderr.off('resize', redraw);
}

/** On stderr, in colour only where colours are wanted. */
export function createSpinner(color: boolean): Ora {
  return ora({ stream: process.stderr, discardStdin: false, color: color ? 'cyan' : false });
}

const CLEAR_SCREEN = '\u001b[2J\u001b[H';

/** Shows a bar with rate and time left on a terminal, and nothing elsewhere: there the stage's own lines tell it. */
export function showBar(
  what: string,
  unit: 'bytes' | 'files' | 'events',
  read: () => Progress,
  { interactive, color, onProgress }: Pick<CommandContext, 'interactive' | 'color' | 'onProgress'>,
): ProgressBar {
  if (!interactive) return { stop: () => undefined };
  const chalk = new Chalk({ level: color ? 1 : 0 });
  const spinner = createSpinner(color);
  const endRedrawing = redrawOnResize(spinner);
  const speed = new TimeWindow<'done' | 'rows'>(WINDOW_MS);
  const startMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const progress = read();
    speed.add(nowMs, { done: progress.done, rows: progress.rows });
    onProgress(shareOf(progress));
    if (nowMs - startMs < SHOW_AFTER_MS) return;
    spinner.text = barText(what, unit, progress, speed, terminalSize(process.stderr)?.columns ?? 80).replace(
      /█+/,
      (bar) => chalk.cyan(bar),
    );
    if (!spinner.isSpinning) spinner.start();
  }, REFRESH_MS);
  return {
    stop: () => {
      clearInterval(timer);
      endRedrawing();
      spinner.stop();
    },
  };
}

/** What a stage that goes on until it is stopped has done so far, the most important first. */
export interface LiveFigures {
  readonly count: number;
  /** What `count` counts, for the speed: `rows`. */
  readonly unit: 'rows' | 'files';
  readonly parts: readonly string[];
}

/** Shows one line with the speed on a terminal, and nothing elsewhere. */
export function showLiveLine(
  what: string,
  read: () => LiveFigures,
  { interactive, color }: Pick<CommandContext, 'interactive' | 'color'>,
): ProgressBar {
  if (!interactive) return { stop: () => undefined };
  const spinner = createSpinner(color);
  const endRedrawing = redrawOnResize(spinner);
  const speed = new TimeWindow<'done'>(WINDOW_MS);
  const update = (): void => {
    const { count, unit, parts } = read();
    speed.add(performance.now(), { done: count });
    const columns = terminalSize(process.stderr)?.columns ?? 80;
    spinner.text = liveText([what, ...parts, `${formatCount(speed.perSecond('done') ?? 0)} ${unit}/s`], columns);
  };
  update();
  spinner.start();
  const timer = setInterval(update, REFRESH_MS);
  return {
    stop: () => {
      clearInterval(timer);
      endRedrawing();
      spinner.stop();
    },
  };
}

/** As many of the parts as fit into one line, the spinner included. */
export function liveText(parts: readonly string[], columns: number): string {
  const fitting = [...parts];
  while (fitting.length > 1 && fitting.join('  ').length > columns - 3) fitting.pop();
  return fitting.join('  ').slice(0, Math.max(10, columns - 3));
}

export function drawBar(share: number, columns: number): string {
  const filled = Math.round(share * columns);
  return `${'█'.repeat(filled)}${'░'.repeat(columns - filled)}`;
}

function shareOf({ done, total }: Omit<Progress, 'rows'>): number {
  return total === 0 ? 0 : Math.min(1, done / total);
}

/** One line that fits into so many columns, the spinner included; what matters least goes first. */
export function barText(
  what: string,
  unit: 'bytes' | 'files' | 'events',
  { done, total }: Omit<Progress, 'rows'>,
  speed: Pick<TimeWindow<'done' | 'rows'>, 'perSecond'>,
  columns: number,
): string {
  const share = shareOf({ done, total });
  const donePerSecond = speed.perSecond('done') ?? 0;
  const rowsPerSecond = speed.perSecond('rows') ?? 0;
  const leftMs = donePerSecond > 0 ? ((total - done) / donePerSecond) * 1000 : undefined;
  const amount = (value: number): string => (unit === 'bytes' ? formatBytes(value) : formatCount(value));
  const parts = [
    what,
    drawBar(share, BAR_WIDTH),
    `${Math.floor(share * 100)} %`.padStart(5),
    ...(leftMs === undefined || leftMs <= 0 ? [] : [`${formatSpan(Math.max(1000, leftMs))} left`]),
    `${formatCount(rowsPerSecond)} rows/s`,
    `${amount(done)} of ${amount(total)}${unit === 'bytes' ? '' : ` ${unit}`}`,
  ];
  while (parts.length > 3 && parts.join('  ').length > columns - 3) parts.pop();
  return parts.join('  ').slice(0, Math.max(10, columns - 3));
}
