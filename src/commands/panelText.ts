import type { ChalkInstance } from 'chalk';
import { countOf, formatCount, formatSpan } from '../platform/format.js';
import { printable } from '../platform/printable.js';
import { fitPrefix, textWidth } from '../platform/textWidth.js';
import type { Range } from '../pipeline/dashboard/ranges.js';
import type { SalesFigures } from '../pipeline/dashboard/sales.js';
import type { Snapshot } from '../pipeline/dashboard/snapshot.js';
import type { FunnelStep } from '../pipeline/dashboard/visits.js';
import { historyProgress, type PipelineState } from '../pipeline/pipelineState.js';
import { drawBar } from './progress.js';

/** Files that wait, as the directories say: whoever else brings or takes some counts too. */
export interface Waiting {
  readonly incoming: number;
  readonly processing: number;
}

/** What the panel shows besides what the stages counted. */
export interface PanelFigures {
  readonly nowMs: number;
  /** Rows a second over the last seconds. */
  readonly rate: { readonly generated: number; readonly loaded: number };
  /** Rows loaded in each of the last seconds, oldest first. */
  readonly loadedBySecond: readonly number[];
  readonly waiting: Waiting;
  /** What the dashboard shows, too; undefined before the first look at the database. */
  readonly snapshot: Pick<Snapshot, 'shop' | 'range' | 'events' | 'behind' | 'database' | 'atMs'> | undefined;
}

const NAME_COLUMNS = 11;
const BAR_COLUMNS = 24;
const MAX_SPARKS = 40;
const SPARKS = '▁▂▃▄▅▆▇█';
/** One look that fails may be the schema that is being created; a database that is away stays away. */
const PROBLEM_AFTER_MS = 1500;

/** The panel for a terminal of this width; every line fits, so that redrawing never leaves parts behind. */
export function panelText(state: PipelineState, figures: PanelFigures, columns: number, chalk: ChalkInstance): string {
  // The spinner and its space, or the indent of the other lines; and one column that terminals wrap at.
  const width = Math.max(20, columns - 4);
  const { rows, filesLoaded, filesQuarantined, filesRedelivered } = state.stages.stream.figures;
  const { files: generatedFiles, rows: generatedRows } = state.stages.generate.figures;
  const { waiting, snapshot } = figures;
  const line = (name: string, parts: readonly string[]): string => fit(name, parts, width);
  return [
    chalk.bold(titleLine(state, figures.nowMs, width)),
    '',
    ...(state.dashboardUrl === undefined ? [] : [line('dashboard', [state.dashboardUrl])]),
    ...historyLines(state, figures, width),
    line('events/s', speedParts(figures, width)),
    line('generated', [countOf(generatedRows, 'row'), countOf(generatedFiles, 'file')]),
    line('loaded', [countOf(rows.inserted, 'row'), countOf(filesLoaded, 'file')]),
    ...(snapshot === undefined ? [] : shopLines(snapshot, width)),
    line('waiting', [
      `${formatCount(waiting.incoming)} in incoming`,
      `${formatCount(waiting.processing)} in processing`,
    ]),
    line('rejected', [
      countOf(rows.rejected, 'row'),
      countOf(rows.duplicate, 'duplicate'),
      `${formatCount(filesQuarantined)} in quarantine`,
      ...(filesRedelivered === 0 ? [] : [`${formatCount(filesRedelivered)} loaded before`]),
    ]),
    databaseLine(state, figures, width, chalk),
    ...(state.attention === undefined
      ? []
      : [chalk.yellow(line('attention', [printable(state.attention).replaceAll('\n', ' ')]))]),
  ].join('\n  ');
}

function titleLine(state: PipelineState, nowMs: number, width: number): string {
  const { seed } = state.stages.generate.figures;
  const phase = {
    running: 'Ctrl-C drains and ends',
    draining: 'draining; Ctrl-C stops at once',
    proving: 'drained; proving it',
  }[state.phase];
  const parts = [formatSpan(Math.max(1, Math.floor((nowMs - state.startedAtMs) / 1000)) * 1000), phase];
  return fit('run-all', [...parts, ...(seed === undefined ? [] : [`seed ${seed}`])], width);
}

function historyLines(state: PipelineState, { rate }: PanelFigures, width: number): string[] {
  const progress = historyProgress(state);
  if (progress === undefined || progress.isLoaded) return [];
  const { loadedRows, totalRows } = progress;
  const share = totalRows === 0 ? 0 : Math.min(1, loadedRows / totalRows);
  const parts = [`${drawBar(share, BAR_COLUMNS)} ${Math.floor(share * 100)} %`, `${formatCount(rate.loaded)} rows/s`];
  return [fit('history', parts, width)];
}

function speedParts({ rate, loadedBySecond }: PanelFigures, width: number): string[] {
  const now = `${formatCount(rate.loaded)} loaded`;
  const room = Math.min(MAX_SPARKS, width - NAME_COLUMNS - now.length - 3);
  const sparks = sparkline(loadedBySecond.slice(-Math.max(1, room)));
  return [...(sparks === '' ? [] : [sparks]), now, `${formatCount(rate.generated)} generated`];
}

/** One block for each value; the highest is full. */
export function sparkline(values: readonly number[]): string {
  const max = Math.max(...values);
  return values.map((value) => SPARKS[max > 0 ? Math.round((value / max) * (SPARKS.length - 1)) : 0]).join('');
}

type PanelSnapshot = NonNullable<PanelFigures['snapshot']>;

function shopLines({ shop, range, events, behind }: PanelSnapshot, width: number): string[] {
  if (events === null) return [];
  // Right after the history its rows are there and the rollups are not.
  const rows = behind?.rows ?? 0;
  if (shop === null) return [fit('revenue', [rows > 0 ? `summing up ${countOf(rows, 'row')}` : 'none yet'], width)];
  const revenue = fit('revenue', revenueParts(shop.sales, range), width);
  return shop.visits === null ? [revenue] : [revenue, funnelLine(shop.visits.funnel, width)];
}

function revenueParts({ currency, now: { revenue, orders } }: SalesFigures, range: Range): string[] {
  const period = range.replace(/(?<=\d)(?=[a-z])/, ' ');
  if (revenue === 0 && orders === 0) return [`no order in ${period}`];
  const [whole, cents] = revenue.toFixed(2).split('.');
  return [
    `${formatCount(Number(whole))}.${cents ?? '00'}${currency === null ? '' : ` ${currency}`}`,
    ...(orders === null ? [] : [`${countOf(orders, 'order')} in ${period}`]),
  ];
}

/** How many visits come so far; where the line is short, steps in the middle are left out. */
function funnelLine(funnel: readonly FunnelStep[], width: number): string {
  const stepOf = (name: string): FunnelStep | undefined => funnel.find((step) => step.name === name);
  const share = (label: string, name: string): string => `${label} ${percent(stepOf(name)?.totalConversion ?? 0)}`;
  const visits = countOf(stepOf('session')?.sessions ?? 0, 'visit');
  const [view, cart, checkout, order] = [
    share('view', 'view_item'),
    share('cart', 'add_to_cart'),
    share('checkout', 'begin_checkout'),
    share('order', 'purchase'),
  ];
  const candidates = [
    [visits, view, cart, checkout, order],
    [visits, view, cart, order],
    [visits, cart, order],
    [visits, order],
  ];
  const texts = candidates.map((steps) => `${'funnel'.padEnd(NAME_COLUMNS)}${steps.join(' → ')}`);
  return texts.find((text) => textWidth(text) <= width) ?? fit('funnel', [visits], width);
}

function percent(share: number): string {
  const value = share * 100;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

function databaseLine(state: PipelineState, { snapshot }: PanelFigures, width: number, chalk: ChalkInstance): string {
  const problem = snapshot?.database.problem ?? null;
  if (snapshot !== undefined && problem !== null) {
    const awayMs = snapshot.atMs - problem.sinceMs;
    if (awayMs >= PROBLEM_AFTER_MS) {
      const words = printable(problem.why ?? problem.what).replaceAll('\n', ' ');
      return chalk.yellow(fit('database', [`away for ${formatSpan(awayMs)}: ${words}`], width));
    }
  }
  const { lastBatch } = state.stages.stream.figures;
  return fit(
    'database',
    [
      snapshot === undefined ? 'not asked yet' : 'answers',
      ...(lastBatch === undefined
        ? []
        : [`last batch ${countOf(lastBatch.rows, 'row')} in ${formatSpan(lastBatch.durationMs)}`]),
    ],
    width,
  );
}

/** As many of the parts as fit, the most important first; only the first one is ever cut, at a word if it can be. */
function fit(name: string, [first = '', ...rest]: readonly string[], width: number): string {
  let text = `${name.padEnd(NAME_COLUMNS)}${first}`;
  if (textWidth(text) > width) {
    const cut = fitPrefix(text, width - 1);
    return `${cut.slice(0, Math.max(cut.lastIndexOf(' '), NAME_COLUMNS + 1)).trimEnd()}…`;
  }
  for (const part of rest) {
    if (textWidth(text) + textWidth(part) + 3 > width) break;
    text += `   ${part}`;
  }
  return text;
}
