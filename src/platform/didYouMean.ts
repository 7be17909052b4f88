import { elementAt } from './elementAt.js';

/**
 * The end of a message about a name that nothing has: the one that was probably meant.
 * @param maxDistance letters that may differ; by default a third of the name
 */
export function didYouMean(
  name: string,
  known: readonly string[],
  maxDistance = Math.max(1, Math.floor(name.length / 3)),
): string {
  const [closest] = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  return closest === undefined || closest.distance > maxDistance ? '' : ` (did you mean ${closest.candidate}?)`;
}

/** Levenshtein distance, by the two-row dynamic programme. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = elementAt(previous, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(elementAt(previous, j) + 1, elementAt(current, j - 1) + 1, substituted));
    }
    previous = current;
  }
  return elementAt(previous, b.length);
}
