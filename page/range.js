// The time range is part of the address: a link to the page shows the same figures.
const LINKS = /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll('#ranges a')]);
const DEFAULT = '24h';

/** @param {string} address */
const rangeOf = (address) => new URL(address).searchParams.get('range') ?? DEFAULT;
const known = LINKS.map(({ href }) => rangeOf(href));

/** @returns {string} */
export function currentRange() {
  const range = rangeOf(location.href);
  return known.includes(range) ? range : DEFAULT;
}

/** The links say which one is chosen. */
function mark() {
  for (const link of LINKS) {
    if (rangeOf(link.href) === currentRange()) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
  }
}

/** @param {() => void} onChange */
export function onRangeChange(onChange) {
  const change = () => {
    mark();
    onChange();
  };
  for (const link of LINKS)
    link.addEventListener('click', (event) => {
      // A new tab is the browser's business.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      history.pushState(null, '', `?range=${rangeOf(link.href)}${location.hash}`);
      change();
    });
  addEventListener('popstate', change);
  mark();
}

/** In words, for "… before". @type {Readonly<Record<string, string>>} */
export const PERIODS = { '15m': '15 min', '1h': '1 h', '24h': '24 h', '7d': '7 d', '28d': '28 d' };
