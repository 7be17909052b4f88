import { isMap, isScalar, isSeq, type Node, type YAMLMap } from 'yaml';
import type { ColumnSource, Constant, IdPart, TimeFormat } from './feed.js';
import type { YamlReader } from './yamlReader.js';

/** Keys that say by themselves how a column is made, and those that may stand beside each. */
const SOURCES = {
  from: ['from', 'map', 'otherwise', 'time', 'zone'],
  value: ['value'],
  sql: ['sql'],
  derive: ['derive', 'repeats'],
} as const;

/** Reads how one column is made. Undefined when that is unclear. */
export function parseColumn(reader: YamlReader, name: string, node: Node): ColumnSource | undefined {
  if (!isMap(node)) {
    const from = reader.text(node, 'the name of a field, or one of { from: }, { value: }, { sql: }, { derive: }');
    return from === undefined ? undefined : { kind: 'field', from: from.text };
  }
  const keys = reader.keysOf(node, Object.values(SOURCES).flat(), `of column ${name}`);
  const kinds = (Object.keys(SOURCES) as (keyof typeof SOURCES)[]).filter((kind) => keys.has(kind));
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    reader.report(
      node,
      `${name}: needs one of from:, value:, sql:, derive:${kinds.length > 1 ? `, and has ${kinds.join(' and ')}` : ''}`,
    );
    return undefined;
  }
  for (const key of keys.keys())
    if (!(SOURCES[kind] as readonly string[]).includes(key)) {
      reader.report(keys.get(key) ?? node, `${key}: cannot be combined with ${kind}:`);
      return undefined;
    }
  return SOURCE_PARSERS[kind](reader, keys, node);
}

type SourceParser = (reader: YamlReader, keys: ReadonlyMap<string, Node>, node: YAMLMap) => ColumnSource | undefined;

const SOURCE_PARSERS: Readonly<Record<keyof typeof SOURCES, SourceParser>> = {
  from: (reader, keys, node) => {
    const from = reader.text(keys.get('from'), 'the name of a field');
    if (from === undefined) return undefined;
    const [map, time] = [keys.get('map'), keys.get('time')];
    if (map !== undefined && time !== undefined) {
      reader.report(node, 'map: and time: exclude each other');
      return undefined;
    }
    const beside = { otherwise: ['map', map], zone: ['time', time] } as const;
    for (const [key, [needed, value]] of Object.entries(beside)) {
      const found = keys.get(key);
      if (found !== undefined && value === undefined) reader.report(found, `${key}: needs ${needed}:`);
    }
    if (map !== undefined) return mapOf(reader, from.text, map, keys.get('otherwise'));
    if (time !== undefined) return timeOf(reader, from.text, time, keys.get('zone'));
    return { kind: 'field', from: from.text };
  },
  value: (reader, keys, node) => {
    const value = keys.get('value');
    if (isScalar(value) && isConstant(value.value)) return { kind: 'value', value: value.value };
    reader.report(value ?? node, 'expected a text, a number, true, false or null');
    return undefined;
  },
  sql: (reader, keys) => {
    const sql = reader.text(keys.get('sql'), 'an expression in SQL');
    return sql === undefined ? undefined : { kind: 'sql', sql: sql.text };
  },
  derive: (reader, keys) => {
    const repeats = reader.oneOf(keys.get('repeats'), ['same', 'distinct']) ?? 'same';
    const parts = partsOf(reader, keys.get('derive'));
    return parts === undefined ? undefined : { kind: 'derive', parts, repeats };
  },
};

function isConstant(value: unknown): value is Constant {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function mapOf(
  reader: YamlReader,
  from: string,
  node: Node,
  otherwiseNode: Node | undefined,
): ColumnSource | undefined {
  const map = reader.mapping(node, 'a mapping from texts of the field to values of the column');
  if (map === undefined) return undefined;
  const otherwise =
    isScalar(otherwiseNode) && otherwiseNode.value === null
      ? 'null'
      : (reader.oneOf(otherwiseNode, ['keep', 'null', 'reject']) ?? 'reject');
  const pairs = reader.entriesOf(map).flatMap(({ key, name, value }): (readonly [string, string | null])[] => {
    if (value === key || (isScalar(value) && value.value === null)) return [[name, null]];
    const text = reader.text(value, 'a text, a number or null');
    return text === undefined ? [] : [[name, text.text]];
  });
  return { kind: 'map', from, map: pairs, otherwise };
}

const TIMES = ['iso', 'epoch-s', 'epoch-ms', 'epoch-us'] as const;

function timeOf(reader: YamlReader, from: string, node: Node, zoneNode: Node | undefined): ColumnSource | undefined {
  const time = reader.text(node, `${TIMES.join(', ')}, or a pattern of to_timestamp`);
  if (time === undefined) return undefined;
  const zone = reader.text(zoneNode, 'a time zone such as UTC or Europe/Berlin')?.text ?? 'UTC';
  const named = TIMES.find((name) => name === time.text.toLowerCase());
  const format: TimeFormat = named === undefined ? { kind: 'pattern', pattern: time.text } : { kind: named };
  if (named === undefined && !/YY|DDD|J/i.test(time.text))
    reader.report(
      node,
      `${JSON.stringify(time.text)}: expected one of ${TIMES.join(', ')}, or a pattern with a date such as YYYY-MM-DD HH24:MI:SS`,
    );
  if (named?.startsWith('epoch') === true && zoneNode !== undefined)
    reader.report(zoneNode, `zone: cannot be combined with time: ${named}, which counts from a fixed moment`);
  return { kind: 'time', from, format, zone };
}

function partsOf(reader: YamlReader, node: Node | undefined): IdPart[] | undefined {
  if (!isSeq(node) || node.items.length === 0) {
    if (node !== undefined) reader.report(node, 'expected the list of the fields that tell one event from another');
    return undefined;
  }
  return node.items.flatMap((item): IdPart[] => {
    if (isMap(item)) {
      const sql = reader.text(reader.keysOf(item, ['sql'], 'of a part of an id').get('sql'), 'an expression in SQL');
      return sql === undefined ? [] : [{ sql: sql.text }];
    }
    const field = reader.text(item as Node, 'the name of a field, or { sql: … }');
    return field === undefined ? [] : [{ field: field.text }];
  });
}
