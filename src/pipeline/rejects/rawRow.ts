import { isUtf8 } from 'node:buffer';
import { decode, UTF_8, type Encoding } from '../../contract/feeds/encodings.js';

/** The text of bytes as PostgreSQL can hold it; undefined where they are none. */
export function textOf(raw: Buffer, encoding: Encoding): string | undefined {
  if (raw.includes(0)) return undefined;
  if (encoding === UTF_8) return isUtf8(raw) ? raw.toString('utf8') : undefined;
  try {
    return decode(raw, encoding);
  } catch {
    return undefined;
  }
}

/** A row's bytes as text; those that are none become `\xNN`, so that a person sees where they are. */
export function readable(raw: Buffer, encoding: Encoding): string {
  const whole = textOf(raw, encoding);
  if (whole !== undefined) return whole;
  let text = '';
  for (let at = 0; at < raw.length;) {
    const length = [1, 2, 3, 4].find(
      (count) => at + count <= raw.length && textOf(raw.subarray(at, at + count), encoding) !== undefined,
    );
    text +=
      length === undefined
        ? `\\x${raw.toString('hex', at, at + 1)}`
        : (textOf(raw.subarray(at, at + length), encoding) ?? '');
    at += length ?? 1;
  }
  return text;
}
