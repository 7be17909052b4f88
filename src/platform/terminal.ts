import type { WriteStream } from 'node:tty';
import { stripVTControlCharacters } from 'node:util';

/** A size that something can be drawn in. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Narrower, and the last line of a drawing would wrap into more than there are. */
const MIN_COLUMNS = 10;
const MAX_SIZE = 2 ** 16;

/**
 * The size of a terminal; undefined for a stream that is not a terminal, and for one that says 0 or nonsense, as script(1) without a
 * terminal of its own, `docker run -t` and serial consoles do: dividing by it, a drawing never ends.
 */
export function terminalSize(stream: Partial<WriteStream>): TerminalSize | undefined {
  const { isTTY, columns, rows } = stream;
  const isSane = (size: unknown, min: number): size is number =>
    typeof size === 'number' && Number.isInteger(size) && size >= min && size <= MAX_SIZE;
  return isTTY === true && isSane(columns, MIN_COLUMNS) && isSane(rows, 1) ? { columns, rows } : undefined;
}

/** Keeps the size of a terminal that loses it (a multiplexer that is resized to nothing) at the last one that made sense. */
export function keepTerminalSize(stream: WriteStream): void {
  let last = terminalSize(stream);
  stream.prependListener('resize', () => {
    const now = terminalSize(stream);
    if (now === undefined && last !== undefined) Object.assign(stream, last);
    else last = now;
  });
}

/** The text for a stream: on a terminal, lines that are too long for it are broken between words. */
export function wrapFor(stream: Partial<WriteStream>, text: string): string {
  const size = terminalSize(stream);
  if (size === undefined) return text;
  return text
    .split('\n')
    .map((line) => wrapWords(line, size.columns))
    .join('\n');
}

/** Breaks a line that is too long between words; a word that is longer stays whole. */
export function wrapWords(text: string, columns: number, indent = '  '): string {
  if (visibleLength(text) <= columns) return text;
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line === undefined) lines.push(word);
    else if (visibleLength(line) + 1 + visibleLength(word) <= columns) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`${indent}${word}`);
  }
  return lines.join('\n');
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}
