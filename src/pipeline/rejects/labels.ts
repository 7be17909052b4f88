import { ESCAPED_COLUMN } from './formulas.js';

/** What a file of rejects has beside the fields of the rows. A replay only needs the id; the rest is for people. */
export const REJECT_COLUMNS = [
  'reject_id',
  'reject_feed',
  'reject_file',
  'reject_line',
  'reject_item',
  'reject_kind',
  'reject_sqlstate',
  'reject_column',
  'reject_reason',
  'reject_hint',
  'reject_raw',
  'reject_raw_base64',
] as const;

/** Names for the fields of a feed's file, each another one: a file may have fields without a name, or of the same. */
export function labelsOf(fields: readonly string[]): string[] {
  const taken = new Set<string>([...REJECT_COLUMNS, ESCAPED_COLUMN]);
  return fields.map((field, index) => {
    const name = field.trim() === '' ? `field ${index + 1}` : field.trim();
    let label = name;
    for (let number = 2; taken.has(label); number++) label = `${name} (${number})`;
    taken.add(label);
    return label;
  });
}
