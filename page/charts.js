import uPlot from '/uplot.js';
import { tickTime, timeOfBucket } from '/format.js';
import { element, makeScrollable, showTable } from '/tables.js';

/** Steps of an axis on which halves make no sense. */
const WHOLE = [0, 1, 2, 3, 4, 5].flatMap((exponent) => [1, 2, 5].map((step) => step * 10 ** exponent));
/** Of one that stands alone, nobody can see the width; it is as short as bars get. */
const LONE_BUCKET_SECONDS = 60;
/** Of a time with seconds, in pixels. */
const LABEL_WIDTH = 56;
const COLORS = ['--accent', '--second', '--bad'];

/** Half a bar more on both sides. @param {number} min @param {number} max @param {number} count @returns {[number, number]} */
function padded(min, max, count) {
  const half = count < 2 ? 30 : (max - min) / (count - 1) / 2;
  return [min - half, max + half];
}

/**
 * A plot with a legend, a tooltip and, for those who can't see it or want the figures, the same as a table.
 * @typedef {{ name: string, value: (value: number) => string, isOnlyTold?: boolean }} SeriesOptions `isOnlyTold`: in tooltip and table alone
 */
export class Chart {
  /**
   * @param {HTMLElement} place
   * @param {{ title: string, series: SeriesOptions[], bars?: boolean, whole?: boolean, axis: (value: number) => string, empty: string }} options
   */
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.isEmpty = true;
    this.data = /** @type {(number | null)[][]} */ ([[]]);
    this.drawn = options.series.filter(({ isOnlyTold }) => isOnlyTold !== true);
    this.plotPlace = element('div', { className: 'plot' });
    this.plotPlace.setAttribute('role', 'img');
    this.tip = element('div', { className: 'tip', hidden: true });
    this.tip.setAttribute('aria-hidden', 'true');
    this.empty = element('p', { className: 'empty' }, options.empty);
    this.table = element('div', { className: 'scroll' });
    this.details = element('details', {}, element('summary', {}, `${options.title} as a table`), this.table);
    this.details.addEventListener('toggle', () => this.showTable());
    const legend = element(
      'ul',
      { className: 'legend' },
      ...this.drawn.map(({ name }, index) => {
        const key = element('span', {});
        key.dataset.series = String(index);
        return element('li', {}, key, name);
      }),
    );
    const foot = element('div', { className: 'foot' }, ...(this.drawn.length > 1 ? [legend] : []), this.details);
    place.replaceChildren(this.plotPlace, this.empty, foot);
    this.onTheme = () => this.rebuild();
    this.resizes = new ResizeObserver(() => this.resize());
    this.resizes.observe(this.plotPlace);
    document.addEventListener('themechange', this.onTheme);
  }

  remove() {
    this.resizes.disconnect();
    document.removeEventListener('themechange', this.onTheme);
    this.plot?.destroy();
  }

  /** @param {readonly number[]} times @param {...(readonly (number | null)[])} values one list a series */
  show(times, ...values) {
    this.data = [times, ...values].map((list) => [...list]);
    const { bars } = this.options;
    this.isEmpty =
      times.length < (bars ? 1 : 2) || values.every((list) => list.every((value) => value === null || value === 0));
    this.empty.hidden = !this.isEmpty;
    this.place.toggleAttribute('data-empty', this.isEmpty);
    if (this.plot === undefined) this.rebuild();
    else this.plot.setData(/** @type {any} */ (this.plotted()));
    this.plotPlace.setAttribute('aria-label', this.describe());
    this.showTip();
    if (this.details.open) this.showTable();
  }

  spanned() {
    const [times = []] = this.data;
    return (times.at(-1) ?? 0) - (times[0] ?? 0);
  }

  /** How the time of a point is written: by its bucket, and by how much time they span together. */
  time() {
    const [first, second] = this.data[0] ?? [];
    return timeOfBucket(second == null || first == null ? LONE_BUCKET_SECONDS : second - first, this.spanned());
  }

  plotted() {
    return this.data.slice(0, this.drawn.length + 1);
  }

  /** Changes seldom enough: a screen reader reads it when asked. */
  describe() {
    const { title } = this.options;
    const parts = this.drawn.map(({ name, value }, index) => {
      const known = (this.data[index + 1] ?? []).filter((each) => each !== null);
      return known.length === 0
        ? `${name}: nothing yet`
        : `${name}: now ${value(known.at(-1) ?? 0)}, highest ${value(Math.max(...known))}`;
    });
    return `Plot of ${title.toLowerCase()}. ${parts.join('; ')}. The figures are in the table below.`;
  }

  /** @param {number} column of a series @param {number} index of a time */
  textOf(column, index) {
    const value = this.data[column + 1]?.[index] ?? null;
    return value === null ? '–' : (this.options.series[column]?.value(value) ?? '');
  }

  showTable() {
    if (!this.details.open) return;
    const { title, series } = this.options;
    const time = this.time();
    const [times = [], ...values] = this.data;
    const rows = times
      .map((at, index) => ({ at, index }))
      .filter(({ index }) => values.some((list) => list[index] !== null && list[index] !== 0))
      .reverse();
    showTable(this.table, {
      caption: title,
      columns: [
        { title: 'Time', kind: 'fixed', text: ({ at }) => time(at) },
        ...series.map(({ name }, column) => ({
          title: name,
          kind: /** @type {const} */ ('number'),
          text: (/** @type {any} */ { index }) => this.textOf(column, index),
        })),
      ],
      rows,
    });
    makeScrollable(this.table, title);
  }

  /** What the pointer is over. */
  showTip() {
    const { plot, tip } = this;
    const index = plot?.cursor.idx ?? null;
    const at = index === null ? undefined : this.data[0]?.[index];
    tip.hidden = plot === undefined || index === null || at == null || this.isEmpty || (plot.cursor.left ?? -1) < 0;
    if (tip.hidden || plot === undefined || index === null || at == null) return;
    tip.replaceChildren(
      element('strong', {}, this.time()(at)),
      ...this.options.series.map(({ name, isOnlyTold }, column) => {
        const key = element('span', { className: 'key' });
        if (isOnlyTold !== true) key.dataset.series = String(column);
        return element(
          'span',
          {},
          key,
          `${name} `,
          element('span', { className: 'value' }, this.textOf(column, index)),
        );
      }),
    );
    // On the side that has room; the plot is never so narrow that neither has.
    const x = plot.valToPos(at, 'x');
    const isRight = x < plot.over.clientWidth / 2;
    tip.style.transform = `translateX(${Math.round(isRight ? x + 12 : x - tip.offsetWidth - 12)}px)`;
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.plotPlace;
    if (this.plot !== undefined && width > 0 && (width !== this.plot.width || height !== this.plot.height))
      this.plot.setSize({ width, height });
  }

  /** Colours are drawn, not styled: another theme needs another plot. */
  rebuild() {
    const style = getComputedStyle(document.documentElement);
    const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const { bars, whole } = this.options;
    const axis = {
      stroke: color('--soft'),
      font: '12px system-ui, sans-serif',
      grid: { stroke: color('--line'), width: 1 },
      ticks: { show: false },
    };
    this.plot?.destroy();
    this.plot = new uPlot(
      {
        width: this.plotPlace.clientWidth || 300,
        height: this.plotPlace.clientHeight || 200,
        legend: { show: false },
        // Half a label of time stands right of the last tick.
        padding: [null, LABEL_WIDTH / 2, null, null],
        cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars, size: 7 } },
        hooks: { setCursor: [() => this.showTip()] },
        scales: {
          x: { range: (_, min, max) => (bars ? padded(min, max, this.data[0]?.length ?? 0) : [min, max]) },
          y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 28,
            space: 70,
            values: (_, ticks) => ticks.map((tick) => tickTime(tick, this.spanned())),
          },
          {
            ...axis,
            size: 58,
            gap: 6,
            space: 36,
            ...(whole ? { incrs: WHOLE } : {}),
            values: (_, ticks) => ticks.map((tick) => this.options.axis(tick)),
          },
        ],
        series: [{}, ...this.drawn.map((_, index) => lineOf(color(COLORS[index] ?? '--accent'), index, bars === true))],
      },
      /** @type {any} */ (this.plotted()),
      this.plotPlace,
    );
    this.plot.over.append(this.tip);
  }
}

/** @param {string} stroke @param {number} index @param {boolean} bars @returns {import('/uplot.js').Series} */
function lineOf(stroke, index, bars) {
  const line = { stroke, width: 2, points: { show: false } };
  if (index > 0) return line;
  if (!bars) return { ...line, fill: `${stroke}22` };
  return { ...line, fill: `${stroke}cc`, width: 0, paths: uPlot.paths.bars?.({ size: [0.75, 48], radius: 0.15 }) };
}
