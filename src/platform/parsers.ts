import { fileURLToPath } from 'node:url';
import { InvalidValueError } from './settings.js';

/** Parsers from raw text to trusted values, shared by all settings. Each throws a InvalidValueError that says what is allowed. */

export function text(raw: string): string {
  return raw;
}

export function directory(raw: string): string {
  if (raw.includes('\0')) throw new InvalidValueError('a path cannot contain a NUL character');
  return raw;
}

/** A directory of this machine, as a path or as `file:///…`, of which the path is left; or a URI of another file system. */
export function directoryOrUri(raw: string): string {
  if (!/^file:\//i.test(raw)) return directory(raw);
  try {
    return directory(fileURLToPath(raw));
  } catch (error) {
    if (error instanceof InvalidValueError) throw error;
    throw new InvalidValueError('expected a directory of this machine, as a path or as file:///…');
  }
}

export function boolean(raw: string): boolean {
  if (/^(true|1|yes|on)$/i.test(raw)) return true;
  if (/^(false|0|no|off)$/i.test(raw)) return false;
  throw new InvalidValueError('expected true or false');
}

export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (raw: string) => number {
  return (raw) => {
    const value = /^[+-]?\d+$/.test(raw) ? Number(raw) : Number.NaN;
    if (!Number.isSafeInteger(value) || value < min || value > max)
      throw new InvalidValueError(`expected a whole number ${range(min, max)}`);
    return value;
  };
}

export function decimal(min: number, max = Infinity): (raw: string) => number {
  return (raw) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(raw) ? Number(raw) : Number.NaN;
    if (Number.isNaN(value) || value < min || value > max)
      throw new InvalidValueError(`expected a number ${range(min, max)}`);
    return value;
  };
}

export function positive(raw: string): number {
  const value = decimal(0)(raw);
  if (value === 0) throw new InvalidValueError('expected a number greater than 0');
  return value;
}

export function oneOf<const T extends string>(...choices: readonly T[]): (raw: string) => T {
  return (raw) => {
    const found = choices.find((choice) => choice === raw);
    if (found === undefined) throw new InvalidValueError(`expected one of ${choices.join(', ')}`);
    return found;
  };
}

/** A duration such as `90`, `90s`, `10m`, `2h` or `500ms` into milliseconds; a bare number is seconds. */
export function duration(raw: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(raw);
  if (match === null) throw new InvalidValueError('expected a duration such as 500ms, 90s, 10m or 2h');
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] ?? 's'] ?? 1000;
  return Number(match[1]) * unit;
}

/** As {@link duration}; a bare number is milliseconds, for settings that were given in these before there were units. */
export function milliseconds(raw: string): number {
  return duration(/^\d+$/.test(raw) ? `${raw}ms` : raw);
}

/** An age such as `90d`, `12w` or `36h` into milliseconds. */
export function age(raw: string): number {
  const match = /^(\d+(?:\.\d+)?)(h|d|w)$/.exec(raw);
  if (match === null) throw new InvalidValueError('expected an age such as 90d, 12w or 36h');
  const hours = { h: 1, d: 24, w: 168 }[match[2] ?? ''] ?? Number.NaN;
  return Number(match[1]) * hours * 3_600_000;
}

/** A size such as `8MiB`, `512KiB`, `8MB` or `1048576` (bytes) into bytes. */
export function bytes(min: number, max: number): (raw: string) => number {
  return (raw) => {
    const match = /^(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$/i.exec(raw);
    const unit = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 }[
      (match?.[2] ?? 'B').toLowerCase()
    ];
    const value = Math.floor(Number(match?.[1]) * (unit ?? Number.NaN));
    if (Number.isNaN(value) || value < min || value > max)
      throw new InvalidValueError(`expected a size such as 8MiB, from ${min} to ${max} bytes`);
    return value;
  };
}

/** Wraps a parser for a setting that may be absent. */
export function optional<T>(parse: (raw: string) => T): (raw: string) => T | undefined {
  return parse;
}

function range(min: number, max: number): string {
  return max >= Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
}

/** `1%` or `0.5 %` → a share from 0 to 1. */
export function share(raw: string): number {
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(raw);
  if (percent === null || Number(percent[1]) > 100) throw new InvalidValueError('expected a percentage such as 0.5%');
  return Number(percent[1]) / 100;
}
