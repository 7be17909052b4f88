/**
 * What a piece of SQL may call a field: its identifiers, unquoted ones in small letters as PostgreSQL reads them. Texts,
 * dollar-quoted texts and comments are none. Function names and key words are among them: who asks knows the fields.
 */
export function namesIn(sql: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const match of sql.matchAll(TOKENS)) {
    const { quoted, plain } = match.groups ?? {};
    if (quoted !== undefined) names.add(quoted.slice(1, -1).replaceAll('""', '"'));
    else if (plain !== undefined) names.add(plain.toLowerCase());
  }
  return names;
}

/** Tokens of PostgreSQL's SQL as far as they decide where an identifier stands; texts in E'…' may escape their quote. */
const TOKENS =
  /--[^\n]*|\/\*[\s\S]*?\*\/|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|\$(?<tag>[A-Za-z_]*)\$[\s\S]*?\$\k<tag>\$|(?<quoted>"(?:[^"]|"")+")|(?<plain>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/g;

/** A text as SQL takes it whatever it is. */
export function quoteText(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** Names of fields match without regard to case and surrounding blanks. */
export function sameName(a: string, b: string): boolean {
  return a === b || a.trim().toLowerCase() === b.trim().toLowerCase();
}

/** The alias under which the elements of `rows` are known. */
export const ENDS_WITH_ITEM = /\s+as\s+item\s*$/i;
