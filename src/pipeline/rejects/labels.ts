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

/**
 * The column that says of a file of rejects that its formulas are escaped. Its cells are empty; a spreadsheet keeps it, so
 * that a replay knows what to take off again.
 */
export const ESCAPED_COLUMN = 'reject_formulas_escaped';

/** What a spreadsheet takes for the start of a formula (OWASP, "CSV Injection"), after apostrophes of the text's own. */
const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/;

/** Puts an apostrophe before what a spreadsheet would run as a formula; negative numbers among it. */
export function escapeFormula<T>(cell: T): T | string {
  return typeof cell === 'string' && FORMULA.test(cell) ? `'${cell}` : cell;
}

/** The text before {@link escapeFormula}; what a person has typed without the apostrophe stays. */
export function unescapeFormula(cell: string): string {
  return cell.startsWith("'") && FORMULA.test(cell) ? cell.slice(1) : cell;
}
