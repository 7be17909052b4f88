import { isScalar, isSeq, type Node } from 'yaml';
import { collides, ENCODING_NAMES, findEncoding, UTF_8, type Encoding } from './encodings.js';
import type { FeedFormat } from './feed.js';
import { sameName } from './sqlNames.js';
import { didYouMean } from '../../platform/didYouMean.js';
import type { YamlReader } from './yamlReader.js';

const KEYS = ['type', 'delimiter', 'quote', 'header', 'encoding', 'null', 'skip'] as const;

export const DEFAULT_FORMAT: FeedFormat = {
  type: 'csv',
  delimiter: ',',
  quote: '"',
  header: 'fromFile',
  encoding: UTF_8,
  nulls: [''],
  skip: 0,
};

/** Reads `format:`. Undefined when it is wrong as a whole. */
export function parseFormat(reader: YamlReader, node: Node | undefined): FeedFormat | undefined {
  if (node === undefined) return DEFAULT_FORMAT;
  const map = reader.mapping(node, 'keys such as delimiter: and header:');
  if (map === undefined) return undefined;
  const keys = reader.keysOf(map, KEYS, 'of format:');
  const type = reader.oneOf(keys.get('type'), ['csv', 'lines', 'jsonl']) ?? 'csv';
  const encoding = encodingOf(reader, keys.get('encoding'));
  const skip = skipOf(reader, keys.get('skip'));
  if (type !== 'csv') {
    for (const key of ['delimiter', 'quote', 'header', 'null'] as const) {
      const superfluous = keys.get(key);
      if (superfluous !== undefined) reader.report(superfluous, `${key}: is for csv; a line of ${type} is one field`);
    }
    return {
      ...DEFAULT_FORMAT,
      type,
      quote: undefined,
      header: [type === 'lines' ? 'line' : 'record'],
      encoding,
      skip,
    };
  }
  const delimiter = characterOf(reader, keys.get('delimiter'), encoding) ?? DEFAULT_FORMAT.delimiter;
  const quote = quoteOf(reader, keys.get('quote'), encoding);
  if (delimiter === quote) reader.report(keys.get('quote') ?? map, 'the quote is the delimiter, too');
  return {
    type,
    delimiter,
    quote,
    header: headerOf(reader, keys.get('header')),
    encoding,
    nulls: nullsOf(reader, keys.get('null'), delimiter),
    skip,
  };
}

function encodingOf(reader: YamlReader, node: Node | undefined): Encoding {
  const name = reader.text(node, 'the name of an encoding');
  if (node === undefined || name === undefined) return UTF_8;
  const found = findEncoding(name.text);
  if (found === undefined) {
    const hint = /^utf-?(16|32)|^ucs/i.test(name.text)
      ? ': PostgreSQL can not read it; convert the file to utf-8 first (iconv -t utf-8)'
      : didYouMean(name.text, ENCODING_NAMES) || `; known are ${ENCODING_NAMES.join(', ')}`;
    reader.report(node, `unknown encoding ${JSON.stringify(name.text)}${hint}`);
  }
  return found ?? UTF_8;
}

function characterOf(reader: YamlReader, node: Node | undefined, encoding: Encoding): string | undefined {
  const found = reader.text(node, 'one character');
  if (node === undefined || found === undefined) return undefined;
  const character = found.text === '\\t' ? '\t' : found.text;
  if (!/^[\x01-\x09\x0b\x0c\x0e-\x7f]$/.test(character)) {
    reader.report(node, `${JSON.stringify(found.text)}: expected one ASCII character that ends no line`);
    return undefined;
  }
  if (collides(character, encoding))
    reader.report(
      node,
      `in ${encoding.name}, ${JSON.stringify(character)} can be a part of a letter; convert the files to utf-8 first`,
    );
  return character;
}

function quoteOf(reader: YamlReader, node: Node | undefined, encoding: Encoding): string | undefined {
  if (node === undefined) return DEFAULT_FORMAT.quote;
  if (isScalar(node) && (node.value === 'none' || node.value === null)) return undefined;
  return characterOf(reader, node, encoding) ?? DEFAULT_FORMAT.quote;
}

function headerOf(reader: YamlReader, node: Node | undefined): FeedFormat['header'] {
  if (node === undefined || (isScalar(node) && node.value === true)) return 'fromFile';
  if (!isSeq(node)) {
    reader.report(node, 'expected true, or the list of the field names for files without a header');
    return 'fromFile';
  }
  const names = (reader.texts(node, 'the name of a field') ?? []).map(({ text }) => text.trim());
  const repeated = names.find((name, index) => names.findIndex((other) => sameName(other, name)) !== index);
  if (names.length === 0) reader.report(node, 'header: names no field');
  if (repeated !== undefined) reader.report(node, `field named twice: ${repeated}`);
  return names;
}

function nullsOf(reader: YamlReader, node: Node | undefined, delimiter: string): readonly string[] {
  if (node === undefined) return DEFAULT_FORMAT.nulls;
  // `null: NULL` is written without quotes more often than not, and means the word.
  const word = isScalar(node) && node.value === null ? node.source : undefined;
  const nulls = word ? [word] : (reader.texts(node, 'a text, or a list of them') ?? []).map(({ text }) => text);
  const wrong = nulls.find((text) => text.includes(delimiter) || /[\r\n\0]/.test(text) || !/^[\x20-\x7e]*$/.test(text));
  if (wrong !== undefined)
    reader.report(
      node,
      `${JSON.stringify(wrong)} can not be a field: expected ASCII characters without delimiter or line end`,
    );
  return nulls;
}

function skipOf(reader: YamlReader, node: Node | undefined): number {
  const found = reader.text(node, 'a number of lines');
  if (node === undefined || found === undefined) return 0;
  if (!/^\d{1,4}$/.test(found.text))
    reader.report(node, `${JSON.stringify(found.text)}: expected a number of lines from 0 to 9999`);
  return Number(found.text);
}
