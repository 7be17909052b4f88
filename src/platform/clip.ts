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
