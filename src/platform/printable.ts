/** Text from outside (file names, values, messages of a server) as it may be shown to people, and pasted by them. */

/**
 * Safe for a terminal: control characters, which could move the cursor, recolour the screen or turn the direction of text,
 * become visible escapes. Newlines stay, for text that has lines of its own.
 */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The same for what is a part of a line, such as a file's name: a newline in it would begin a line that passes for one of ours. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', '\\n');
}

/** What no shell gives a meaning to, wherever it stands in a word. */
const PLAIN_WORD = /^[\w@%+:,./-]+$/;
/** What `printable` escapes, and newlines. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/**
 * One word of a command that is suggested to be pasted: in single quotes, so that nothing in it is run or expanded. With
 * control characters it is in `$'…'` (POSIX 2024; bash, zsh, ksh), their bytes in octal, as a terminal must not get them.
 */
export function shellQuote(word: string): string {
  if (PLAIN_WORD.test(word)) return word;
  if (word.search(CONTROLS) === -1) return `'${word.replaceAll("'", String.raw`'\''`)}'`;
  const escaped = word.replace(/[\\']/g, String.raw`\$&`);
  return `$'${escaped.replace(CONTROLS, octal)}'`;
}

function octal(char: string): string {
  return [...Buffer.from(char)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}

/** The longest text of a message: what a file holds may be longer than any log, ledger or screen should repeat. */
export const MAX_MESSAGE_CHARACTERS = 1000;

/** A text that is shown whole or, when it is too long, by its beginning; no character is cut in two. */
export function clip(text: string, maxCharacters = MAX_MESSAGE_CHARACTERS): string {
  if (text.length <= maxCharacters) return text;
  const end = Math.max(0, maxCharacters - 1);
  const isHalf = /[\uD800-\uDBFF]/.test(text.charAt(end - 1));
  return `${text.slice(0, isHalf ? end - 1 : end)}…`;
}

const LISTED = 10;
const LISTED_CHARACTERS = 60;

/** Some of a list of names from outside, each clipped, and how many there are beside them. */
export function clippedList(names: readonly string[], show: (name: string) => string = (name) => name): string {
  const shown = names.slice(0, LISTED).map((name) => show(clip(name, LISTED_CHARACTERS)));
  return names.length > LISTED ? `${shown.join(', ')} and ${names.length - LISTED} more` : shown.join(', ');
}
