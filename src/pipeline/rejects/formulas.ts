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
