// Tables are built from text nodes alone: nothing that came from a file is ever taken for markup.

/**
 * @typedef {{ title: string, kind?: 'number' | 'name' | 'fixed' | 'bar' | 'raw', text: (row: any) => string, share?: (row: any) => number, bad?: (row: any) => boolean }} Column
 */

/**
 * Fills `place` with a table, or with a word that there is nothing.
 * @param {HTMLElement} place
 * @param {{ caption: string, columns: Column[], rows: readonly any[], none: string }} table
 */
export function showTable(place, { caption, columns, rows, none }) {
  if (rows.length === 0) {
    place.replaceChildren(element('p', { className: 'none' }, none));
    return;
  }
  // Redrawing what has not changed would take the selection, and the place in the table, from whoever reads it.
  const signature = JSON.stringify(rows.map((row) => columns.map((column) => column.text(row))));
  if (place.dataset.signature === signature && place.firstElementChild?.tagName === 'TABLE') return;
  place.dataset.signature = signature;
  const head = element('tr', {}, ...columns.map((column) => headCell(column)));
  const body = rows.map((row) => element('tr', {}, ...columns.map((column, index) => bodyCell(column, row, index))));
  const table = element(
    'table',
    {},
    element('caption', { className: 'hidden' }, caption),
    element('thead', {}, head),
    element('tbody', {}, ...body),
  );
  place.replaceChildren(table);
  makeScrollable(place, caption);
}

/** @param {Column} column */
function headCell({ title, kind }) {
  if (kind !== 'bar') return element('th', { scope: 'col', className: kind === 'number' ? 'number' : '' }, title);
  const cell = element('td', {});
  cell.setAttribute('aria-hidden', 'true');
  return cell;
}

/** @param {Column} column @param {any} row @param {number} index */
function bodyCell({ kind, text, share, bad }, row, index) {
  const className = [kind ?? '', bad?.(row) ? 'bad' : ''].join(' ').trim();
  if (kind === 'bar') {
    const bar = element('span', {});
    bar.style.setProperty('--share', `${((share?.(row) ?? 0) * 100).toFixed(2)}%`);
    // The figure stands in another column.
    const cell = element('td', { className }, bar);
    cell.setAttribute('aria-hidden', 'true');
    return cell;
  }
  return index === 0 ? element('th', { scope: 'row', className }, text(row)) : element('td', { className }, text(row));
}

/** A table wider than its card can be scrolled with the keyboard too. @param {HTMLElement} place @param {string} label */
export function makeScrollable(place, label) {
  const overflows = place.scrollWidth > place.clientWidth + 1 || place.scrollHeight > place.clientHeight + 1;
  if (overflows) {
    place.tabIndex = 0;
    place.setAttribute('role', 'region');
    place.setAttribute('aria-label', label);
  } else {
    place.removeAttribute('tabindex');
    place.removeAttribute('role');
    place.removeAttribute('aria-label');
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Partial<HTMLElementTagNameMap[Tag]>} properties
 * @param {...(string | Node)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
