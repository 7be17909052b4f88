// Figures as people read them.
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const minutes = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const days = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', timeZone: 'UTC' });
const dated = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});

/** @param {number} value */
export const count = (value) => whole.format(value);

/** @param {number} value */
export const short = (value) => (Math.abs(value) < 10_000 ? count(value) : compact.format(value));

/** @param {number} value a second */
export const rate = (value) => (value < 10 ? fine.format(value) : short(value));

/** @param {number | null} share from 0 to 1 */
export const percent = (share) =>
  share === null ? '–' : `${share < 0.0995 ? (share * 100).toFixed(1) : Math.round(share * 100)} %`;

/** @param {number} bytes */
export function size(bytes) {
  const exponent = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${fine.format(bytes / 1000 ** exponent)} ${['B', 'kB', 'MB', 'GB', 'TB'][exponent]}`;
}

/** @param {number} ms */
export function span(ms) {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${fine.format(ms / 1000)} s`;
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** @param {number} value @param {string | null} currency */
export function money(value, currency) {
  if (currency === null) return '–';
  try {
    return new Intl.NumberFormat('en', {
      style: 'currency',
      currency,
      maximumFractionDigits: Math.abs(value) >= 1000 ? 0 : 2,
    }).format(value);
  } catch {
    // A code by its shape that is none.
    return `${count(value)} ${currency}`;
  }
}

/** @param {number} seconds since 1970 */
export const timeOfDay = (seconds) => clock.format(seconds * 1000);

/** @param {number} seconds since 1970 */
export const timeAndDay = (seconds) => dated.format(seconds * 1000);

/** The start of a bucket of this width; days are UTC. @param {string} bucket */
export const timeOfBucket = (bucket) => (/** @type {number} */ seconds) =>
  (bucket === 'minute' ? minutes : bucket === 'day' ? days : dated).format(seconds * 1000);
