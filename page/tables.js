// Tables are built from text nodes alone: nothing that came from a file is ever taken for markup.

/**
 * @typedef {{ title: string, kind?: 'number' | 'name' | 'fixed' | 'bar' | 'raw' | 'file' | 'line', text: (row: any) => string, hint?: (row: any) => string | undefined, share?: (row: any) => number, level?: (row: any) => string, minor?: boolean }} Column
 * `hint`: what the pointer tells; `level`: a class; `minor`: left out where there is little room.
 */

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} id @param {string} text */
export function say(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

/** The same; what stands between backticks is code. @param {string} id @param {string} text */
export function sayWithCode(id, text) {
  const place = byId(id);
  const plain = text.replaceAll('`', '');
  if (place.textContent === plain) return;
  place.replaceChildren(...text.split('`').map((part, index) => (index % 2 === 0 ? part : element('code', {}, part))));
}

/** The same, and the place goes away without a text. @param {string} id @param {string} text */
export function sayIfAny(id, text) {
  byId(id).hidden = text === '';
  sayWithCode(id, text);
}

/**
 * Fills the place of that name with a table; a card that would be empty goes away.
 * @param {string} id
 * @param {{ caption: string, columns: Column[], rows: readonly any[], key?: (row: any) => string }} table `key`: new rows are marked as such
 */
export function showCard(id, table) {
  const place = byId(id);
  showIf(place, table.rows.length > 0);
  if (table.rows.length > 0) showTable(place, table);
}

/** The card of a place, which goes away when it has nothing to show. @param {HTMLElement} place @param {boolean} hasContent */
export function showIf(place, hasContent) {
  /** @type {HTMLElement} */ (place.closest('.card')).hidden = !hasContent;
}

/**
 * @param {HTMLElement} place
 * @param {{ caption: string, columns: Column[], rows: readonly any[], key?: (row: any) => string }} table
 */
export function showTable(place, { caption, columns, rows, key }) {
  // Redrawing what has not changed would take the selection, and the place in the table, from whoever reads it.
  const signature = JSON.stringify(rows.map((row) => columns.map((column) => [column.text(row), column.share?.(row)])));
  if (place.dataset.signature === signature && place.firstElementChild?.tagName === 'TABLE') return;
  const seen = place.dataset.keys?.split('\n');
  place.dataset.signature = signature;
  if (key !== undefined) place.dataset.keys = rows.map(key).join('\n');
  const head = element('tr', {}, ...columns.map((column) => headCell(column)));
  const body = rows.map((row) =>
    element(
      'tr',
      { className: key !== undefined && seen !== undefined && !seen.includes(key(row)) ? 'new' : '' },
      ...columns.map((column, index) => bodyCell(column, row, index)),
    ),
  );
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
function headCell({ title, kind, minor }) {
  const minorClass = minor === true ? ' minor' : '';
  if (kind !== 'bar')
    return element('th', { scope: 'col', className: `${kind === 'number' ? 'number' : ''}${minorClass}` }, title);
  const cell = element('td', { className: `bar${minorClass}` });
  cell.setAttribute('aria-hidden', 'true');
  return cell;
}

/** @param {Column} column @param {any} row @param {number} index */
function bodyCell({ kind, text, hint, share, level, minor }, row, index) {
  const className = [kind ?? '', level?.(row) ?? '', minor === true ? 'minor' : ''].join(' ').trim();
  const title = hint?.(row) ?? '';
  if (kind === 'bar') {
    const bar = element('span', { hidden: (share?.(row) ?? 0) === 0 });
    bar.style.setProperty('--share', `${((share?.(row) ?? 0) * 100).toFixed(2)}%`);
    // The figure stands in another column.
    const cell = element('td', { className, title }, bar);
    cell.setAttribute('aria-hidden', 'true');
    return cell;
  }
  const content = kind === 'name' || kind === 'raw' ? breakable(text(row)) : [text(row)];
  return index === 0
    ? element('th', { scope: 'row', className, title }, ...content)
    : element('td', { className, title }, ...content);
}

/** Lists without blanks, such as rows, break at a comma before they break in a word. @param {string} text */
function breakable(text) {
  return text.split(/(?<=,)(?! )/).flatMap((part, index) => (index === 0 ? [part] : [element('wbr', {}), part]));
}

/** What is wider than its place can be scrolled with the keyboard too. @param {HTMLElement} place @param {string} label */
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
  if (made.title === '') made.removeAttribute('title');
  made.append(...children);
  return made;
}
