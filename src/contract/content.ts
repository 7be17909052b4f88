/**
 * SQL: two SHA-256 are those of one content. The ledger's index has half of each (sql/013_lean_ledger.sql), so that both are
 * asked for: the half to find a file, the whole to be sure of it.
 */
export function isSameContent(one: string, other: string): string {
  return `ecompipe.content_key(${one}) = ecompipe.content_key(${other}) and ${one} = ${other}`;
}
