import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { once } from 'node:events';

/** How one in a hundred rows is spoiled, in turn; each another kind of refusal by PostgreSQL. */
const SPOIL: readonly ((line: string) => string)[] = [
  (line) => `not-a-uuid${line.slice(36)}`,
  (line) => line.replace(/^([^,]*),[^,]*,/, '$1,no_such_event,'),
  (line) => line.replace(/^([^,]*,[^,]*),[^,]*,/, '$1,2026-13-45T00:00:00Z,'),
  (line) => `${line},one field too many`,
];

/**
 * Copies a CSV file so that one row in a hundred is bad and one is the copy of an earlier row: evenly, so that every
 * batch has some. (Our generator puts line breaks into no field.)
 */
export async function writeDirty(source: string, target: string): Promise<void> {
  const out = createWriteStream(target);
  let number = -1;
  let earlier = '';
  let spoiled = 0;
  for await (const line of createInterface({ input: createReadStream(source), crlfDelay: Infinity })) {
    const written = number < 0 ? line : spoil(line);
    if (!out.write(`${written}\n`)) await once(out, 'drain');
    number++;
  }
  out.end();
  await once(out, 'finish');

  function spoil(line: string): string {
    if (number % 100 === 10) earlier = line;
    if (number % 100 === 83) return earlier;
    return number % 100 === 37 ? (SPOIL[spoiled++ % SPOIL.length]?.(line) ?? line) : line;
  }
}
