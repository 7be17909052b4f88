/** Figures as people read them; the same in the panel, status and the log. */

/** `1234567` → `1,234,567`. */
export function formatCount(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 file`, `2,000 files`; `plural` for nouns that don't just take an s. */
export function countOf(value: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(value)} ${value === 1 ? noun : plural}`;
}

/** How much, how long, how fast: `3,000,000 rows`, `3 files` and 18,400 ms become `… in 18.4 s (163,000 rows/s)`. */
export function withPace(text: string, rows: number, durationMs: number): string {
  const perSecond = Number(((rows * 1000) / Math.max(1, durationMs)).toPrecision(3));
  // Below one row a second a pace says nothing.
  return `${text} in ${formatSpan(durationMs)}${perSecond < 1 ? '' : ` (${formatCount(perSecond)} rows/s)`}`;
}

/** The end of a long name: of generated files it is what tells them apart. */
export function shortName(name: string, length = 24): string {
  return name.length <= length ? name : `…${name.slice(1 - length)}`;
}

/** Bytes: `512 B`, `1.2 MB`; decimal units, as rates are compared with disks and networks. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  const exponent = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${short(bytes / 1000 ** exponent)} ${['B', 'kB', 'MB', 'GB', 'TB'][exponent] ?? 'B'}`;
}

/** Milliseconds: `3 ms`, `1.2 s`, `4 min 10 s`, `3 h 5 min`, `2 d 4 h`. */
export function formatSpan(ms: number): string {
  if (ms < 999.5) return `${ms < 9.95 ? short(ms) : Math.round(ms)} ms`;
  if (ms < 59_950) return `${short(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

function short(value: number): string {
  return value < 9.95 ? String(Number(value.toFixed(1))) : String(Math.round(value));
}
