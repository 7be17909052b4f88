import { createHash } from 'node:crypto';
import { isScalar, isSeq, type Node, type YAMLMap } from 'yaml';
import { parseColumn } from './parseColumn.js';
import { parseFormat } from './parseFormat.js';
import type { Feed, FeedColumn, FeedExpression } from './feed.js';
import { globDefect } from './glob.js';
import { ENDS_WITH_ITEM } from './sqlNames.js';
import { YamlReader } from './yamlReader.js';

const KEYS = ['match', 'format', 'unknown', 'table', 'columns', 'where', 'rows'] as const;

/** What a feed file holds, or all that is wrong with it, each as `file:line:column: what`. */
export type ParsedFeed =
  | { readonly feed: Feed; readonly problems?: undefined }
  | { readonly feed?: undefined; readonly problems: readonly string[] };

/**
 * Reads one feed file.
 * @param name of the feed: its file's, without the ending.
 * @param file as messages shall call it.
 */
export function parseFeed(name: string, file: string, text: string): ParsedFeed {
  const reader = new YamlReader(file, text);
  const feed = reader.root === undefined ? undefined : feedOf(reader, reader.root, { name, file, text });
  return feed === undefined || reader.problems.length > 0 ? { problems: reader.problems } : { feed };
}

function feedOf(reader: YamlReader, root: YAMLMap, of: Pick<Feed, 'name' | 'file' | 'text'>): Feed | undefined {
  const keys = reader.keysOf(root, KEYS, 'of a feed');
  const match = matchOf(reader, root, keys.get('match'));
  const format = parseFormat(reader, keys.get('format'));
  const unknown = reader.oneOf(keys.get('unknown'), ['ignore', 'quarantine', 'keep']) ?? 'ignore';
  const table = tableOf(reader, keys.get('table'));
  const rows = expressionOf(reader, keys.get('rows'), 'a set in SQL, ending with `as item`');
  if (rows !== undefined && !ENDS_WITH_ITEM.test(rows.sql))
    reader.report(keys.get('rows') ?? root, 'a set must end with `as item`, by which the columns know its elements');
  const where = expressionOf(reader, keys.get('where'), 'a condition in SQL');
  const columns = columnsOf(reader, root, keys.get('columns'));
  if (format === undefined) return undefined;
  // Its name is part of what it does: ids that it derives begin with it.
  const sha256 = createHash('sha256').update(`${of.name}\0${of.text}`).digest();
  return { ...of, sha256, match, format, unknown, table, columns, where, rows };
}

function matchOf(reader: YamlReader, root: YAMLMap, node: Node | undefined): string[] {
  if (node === undefined) {
    reader.report(root, 'match: is missing: a pattern of file names, or a list of them');
    return [];
  }
  const globs = reader.texts(node, 'a pattern of file names, or a list of them') ?? [];
  if (globs.length === 0 && isSeq(node)) reader.report(node, 'match: names no file');
  for (const [index, { text }] of globs.entries()) {
    const defect = globDefect(text);
    if (defect !== undefined)
      reader.report(isSeq(node) ? (node.items[index] as Node) : node, `${JSON.stringify(text)}: ${defect}`);
  }
  return globs.map(({ text }) => text);
}

/** `events` is `public.events`; names that need quotes have them. */
function tableOf(reader: YamlReader, node: Node | undefined): string {
  const table = reader.text(node, 'the name of a table')?.text ?? 'public.events';
  const part = '(?:[a-z_\\u0080-\\uffff][\\w$\\u0080-\\uffff]*|"(?:[^"]|"")+")';
  if (node !== undefined && !new RegExp(`^(?:${part}\\.)?${part}$`, 'i').test(table))
    reader.report(node, `${JSON.stringify(table)} is not the name of a table, such as public.events`);
  return table.includes('.') ? table : `public.${table}`;
}

function expressionOf(reader: YamlReader, node: Node | undefined, what: string): FeedExpression | undefined {
  const found = reader.text(node, what);
  return found === undefined ? undefined : { sql: found.text, position: found.position };
}

function columnsOf(reader: YamlReader, root: YAMLMap, node: Node | undefined): FeedColumn[] {
  if (node === undefined) {
    reader.report(root, 'columns: is missing: how each column of the table is made');
    return [];
  }
  const map = reader.mapping(node, 'a mapping from columns of the table to fields or expressions');
  if (map === undefined) return [];
  const columns = reader.entriesOf(map).flatMap(({ key, name, value }) => {
    const source = isScalar(value) && value === key ? undefined : parseColumn(reader, name, value);
    if (value === key) reader.report(key, `${name}: is made from nothing; name a field, or a value, or SQL`);
    return source === undefined ? [] : [{ name, source, position: reader.positionOf(key) }];
  });
  if (map.items.length === 0) reader.report(map, 'columns: makes no column');
  return columns;
}
