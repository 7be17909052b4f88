// Figures as people read them.
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
/** @param {Intl.DateTimeFormatOptions} options */
const format = (options) => new Intl.DateTimeFormat('en-GB', { hourCycle: 'h23', ...options });
const clock = format({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
const minutes = format({ hour: '2-digit', minute: '2-digit' });
const days = format({ month: 'short', day: 'numeric', timeZone: 'UTC' });
const localDays = format({ month: 'short', day: 'numeric' });
const dated = format({ month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });

/** @param {number} value */
export const count = (value) => whole.format(value);

/** `1 file`, `2,000 files`. @param {number} value @param {string} noun @param {string} plural where it is not just an s more */
export const countOf = (value, noun, plural = `${noun}s`) => `${count(value)} ${value === 1 ? noun : plural}`;

/** @param {number} value */
export const short = (value) => (Math.abs(value) < 100_000 ? count(value) : compact.format(value));

/** @param {number} value a second */
export const rate = (value) => (value < 10 ? fine.format(value) : short(value));

/** @param {number | null} share from 0 to 1 */
export const percent = (share) =>
  share === null ? '–' : `${share < 0.0995 && share > 0 ? (share * 100).toFixed(1) : Math.round(share * 100)}\u00a0%`;

/** @param {number} share from 0 to 1, where a tenth of a percent matters */
export const finePercent = (share) => `${(share * 100).toFixed(share < 0.00995 ? 2 : 1)}\u00a0%`;

/** @param {number} bytes */
export function size(bytes) {
  const exponent = bytes < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${fine.format(bytes / 1000 ** exponent)}\u00a0${['B', 'kB', 'MB', 'GB', 'TB'][exponent]}`;
}

/** @param {number} ms */
export function span(ms) {
  if (ms < 999.5) return `${Math.round(ms)}\u00a0ms`;
  if (ms < 59_950) return `${fine.format(ms / 1000)}\u00a0s`;
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return `${minutes}\u00a0min`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)}\u00a0h ${minutes % 60}\u00a0min`;
  return `${Math.floor(minutes / 1440)}\u00a0d ${Math.floor((minutes % 1440) / 60)}\u00a0h`;
}

/** @param {number} value @param {string | null} currency @param {Intl.NumberFormatOptions} options */
function moneyAs(value, currency, options) {
  // A price without a currency is one of relaxed rules.
  if (currency === null) return new Intl.NumberFormat('en', options).format(value);
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency, ...options }).format(value);
  } catch {
    // A code by its shape that is none.
    return `${count(value)} ${currency}`;
  }
}

/** @param {number} value @param {string | null} currency */
export const money = (value, currency) =>
  moneyAs(value, currency, {
    maximumFractionDigits: Math.abs(value) >= 1000 ? 0 : 2,
    minimumFractionDigits: Math.abs(value) >= 1000 || value === 0 ? 0 : 2,
  });

/** For an axis, and where millions must fit. @param {number} value @param {string | null} currency */
export const shortMoney = (value, currency) =>
  Math.abs(value) < 10_000
    ? moneyAs(value, currency, { maximumFractionDigits: 0 })
    : moneyAs(value, currency, { notation: 'compact', maximumFractionDigits: 1 });

/** @param {number} seconds since 1970 */
export const timeOfDay = (seconds) => clock.format(seconds * 1000);

/** @param {number} seconds since 1970 */
export const timeAndDay = (seconds) => dated.format(seconds * 1000);

/** Time of a bucket of that width, on charts that span so much time; whole days are UTC. @param {number} width @param {number} spanned both in seconds */
export function timeOfBucket(width, spanned) {
  const chosen = width >= 86_400 ? days : spanned > 72_000 ? dated : width < 60 ? clock : minutes;
  return (/** @type {number} */ seconds) => chosen.format(seconds * 1000);
}

/** A label of an axis that spans so much time: a day where one begins, else the time. @param {number} seconds since 1970 @param {number} spanned in seconds */
export function tickTime(seconds, spanned) {
  if (spanned <= 600) return clock.format(seconds * 1000);
  const time = minutes.format(seconds * 1000);
  return spanned > 72_000 && time === '00:00' ? localDays.format(seconds * 1000) : time;
}

/** A name with its middle left out: the ends are what tells files apart. @param {string} name */
export function middle(name, most = 30) {
  if (name.length <= most) return name;
  const end = Math.ceil((most - 1) * 0.6);
  return `${name.slice(0, most - 1 - end)}…${name.slice(-end)}`;
}
