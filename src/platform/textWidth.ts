/** Columns of a terminal. Its library takes some milliseconds to load: for modules that are loaded when there is something to lay out. */
import stringWidth from 'string-width';

/** Plain ASCII, as most texts are: as wide as it is long. */
const ASCII = /^[\x20-\x7e]*$/;

/** Columns of a terminal that a text takes: letters of East Asia and emoji take two, what combines with a letter none. */
export function textWidth(text: string): number {
  return ASCII.test(text) ? text.length : stringWidth(text);
}

/** `padEnd` by columns of a terminal. */
export function padTo(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - textWidth(text)));
}

/** The longest beginning of a text that fits into so many columns, cut between what people see as letters. */
export function fitPrefix(text: string, width: number): string {
  // No letter is longer than its columns by much: of a megabyte, little needs a look.
  let columns = 0;
  let end = 0;
  for (const { segment } of new Intl.Segmenter().segment(text.slice(0, width * MAX_UNITS_PER_COLUMN))) {
    columns += textWidth(segment);
    if (columns > width) break;
    end += segment.length;
  }
  return text.slice(0, end);
}

const MAX_UNITS_PER_COLUMN = 16;

/** A text that is shown whole or, when it is too wide, by its beginning. */
export function clipTo(text: string, width: number): string {
  if (text.length <= width * MAX_UNITS_PER_COLUMN && textWidth(text) <= width) return text;
  return `${fitPrefix(text, Math.max(0, width - 1))}…`;
}
