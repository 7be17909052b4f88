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
