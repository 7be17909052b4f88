import uPlot from '/uplot.js';
import { element, makeScrollable, showTable } from '/tables.js';

/** Steps of an axis on which halves make no sense. */
const WHOLE = [0, 1, 2, 3, 4, 5].flatMap((exponent) => [1, 2, 5].map((step) => step * 10 ** exponent));
const COLORS = ['--accent', '--second', '--bad'];

/** Half a bar more on both sides. @param {number} min @param {number} max @param {number} count @returns {[number, number]} */
function padded(min, max, count) {
  const half = (max - min) / Math.max(1, count - 1) / 2;
  return [min - half, max + half];
}

/**
 * A plot with a legend and, for those who can't see it or want the figures, the same as a table.
 * @typedef {{ name: string }} SeriesOptions
 */
export class Chart {
  /**
   * @param {HTMLElement} place
   * @param {{ title: string, series: SeriesOptions[], bars?: boolean, whole?: boolean, value: (value: number) => string, time: (seconds: number) => string, empty: string }} options
   */
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.data = /** @type {(number | null)[][]} */ ([[]]);
    this.plotPlace = element('div', { className: 'plot' });
    this.plotPlace.setAttribute('role', 'img');
    this.empty = element('p', { className: 'empty' }, options.empty);
    this.table = element('div', { className: 'scroll' });
    this.details = element('details', {}, element('summary', {}, `${options.title} as a table`), this.table);
    this.details.addEventListener('toggle', () => this.showTable());
    const legend = element(
      'ul',
      { className: 'legend' },
      ...options.series.map(({ name }, index) => {
        const key = element('span', {});
        key.dataset.series = String(index);
        return element('li', {}, key, name);
      }),
    );
    place.replaceChildren(this.plotPlace, this.empty, ...(options.series.length > 1 ? [legend] : []), this.details);
    new ResizeObserver(() => this.resize()).observe(this.plotPlace);
    document.addEventListener('themechange', () => this.rebuild());
  }

  /** @param {readonly number[]} times @param {...(readonly (number | null)[])} values one list a series */
  show(times, ...values) {
    this.data = [times, ...values].map((list) => [...list]);
    const isEmpty = times.length < 2 || values.every((list) => list.every((value) => value === null || value === 0));
    this.empty.hidden = !isEmpty;
    this.place.toggleAttribute('data-empty', isEmpty);
    if (this.plot === undefined) this.rebuild();
    else this.plot.setData(/** @type {any} */ (this.data));
    this.plotPlace.setAttribute('aria-label', this.describe());
    if (this.details.open) this.showTable();
  }

  /** Changes seldom enough: a screen reader reads it when asked. */
  describe() {
    const { title, series, value } = this.options;
    const parts = series.map(({ name }, index) => {
      const known = (this.data[index + 1] ?? []).filter((each) => each !== null);
      return known.length === 0
        ? `${name}: nothing yet`
        : `${name}: now ${value(known.at(-1) ?? 0)}, highest ${value(Math.max(...known))}`;
    });
    return `Plot of ${title.toLowerCase()}. ${parts.join('; ')}. The figures are in the table below.`;
  }

  showTable() {
    if (!this.details.open) return;
    const { title, series, value, time } = this.options;
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
          text: (/** @type {any} */ { index }) =>
            values[column]?.[index] == null ? '–' : value(values[column][index]),
        })),
      ],
      rows,
      none: 'Nothing in this time',
    });
    makeScrollable(this.table, title);
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
    const { series, bars, whole, value, time } = this.options;
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
        height: this.plotPlace.clientHeight || 210,
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { range: (_, min, max) => (bars ? padded(min, max, this.data[0]?.length ?? 0) : [min, max]) },
          y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 30,
            space: 90,
            values: (_, ticks) => ticks.map((tick) => time(tick)),
          },
          {
            ...axis,
            size: 62,
            space: 36,
            ...(whole ? { incrs: WHOLE } : {}),
            values: (_, ticks) => ticks.map((tick) => value(tick)),
          },
        ],
        series: [
          {},
          ...series.map(({ name }, index) => {
            const stroke = color(COLORS[index] ?? '--accent');
            return {
              label: name,
              stroke,
              width: 2,
              spanGaps: true,
              points: { show: false, size: 5 },
              ...(index === 0 ? { fill: `${stroke}${bars ? 'cc' : '22'}` } : {}),
              ...(bars && index === 0 ? { paths: uPlot.paths.bars?.({ size: [0.7, 40] }), width: 0 } : {}),
            };
          }),
        ],
      },
      /** @type {any} */ (this.data),
      this.plotPlace,
    );
  }
}
