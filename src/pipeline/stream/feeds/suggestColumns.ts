import { REQUIRED_COLUMNS } from '../../../contract/columns.js';
import { clip } from '../../../platform/clip.js';
import { printableLine } from '../../../platform/printable.js';

/** Names under which sources have what our columns mean. */
const MEANINGS: readonly (readonly [column: string, names: RegExp])[] = [
  ['event_type', /^(event|event_?(type|name)|type|action|behaviou?r|activity)$/],
  [
    'event_time',
    /^(event_?)?(time|timestamp|date|datetime|ts|created(_at)?|occurred_at)$|_(time|timestamp|at|date)$|^(invoice|order)_?date$/,
  ],
  ['user_id', /^(user|visitor|customer|client|person|member|account)(_?id|_pseudo_id)?$|^email$/],
  ['session_id', /(^|_)(session|visit)(_?id)?$/],
  ['device', /^device(_?(type|category))?$/],
  ['country', /^(billing_|shipping_)?country(_?code)?$/],
  ['traffic_source', /^(traffic_?|utm_)?(source|medium|channel)$|^referr?er$/],
  ['page_url', /^(page_?)?(url|location|path)$/],
  ['search_term', /^(search_?(term|query)|query|keyword)$/],
  ['product_id', /^(product|item|article|sku|stock)_?(id|code|number|no)?$/],
  ['product_name', /^(product_?|item_?|lineitem_?)?(name|title|description)$/],
  ['brand', /^(item_?|product_?)?(brand|vendor|manufacturer)$/],
  ['category', /^(item_?|product_?)?category(_?(code|name|id))?$/],
  ['price', /^(unit_?|item_?|lineitem_?)?price$|^amount$/],
  ['quantity', /^(item_?|lineitem_?)?(quantity|qty|count)$/],
  ['currency', /^currency(_?code)?$/],
  ['coupon', /^(coupon|voucher|discount)(_?code)?$/],
  ['payment_type', /^payment(_?(type|method))?$/],
  ['order_id', /^(order|transaction|invoice|basket)_?(id|no|number)?$/],
];

type Records = readonly (readonly string[])[];

/** Lines of `columns:` for a file of these fields: what can be guessed, and TODO for what the table needs beside. */
export function suggestColumns(fields: readonly string[], records: Records, type: 'csv' | 'jsonl'): string[] {
  if (type === 'jsonl') return jsonColumns(records);
  const found = new Map<string, number>();
  for (const [column, names] of MEANINGS) {
    const index = fields.findIndex((field, at) => ![...found.values()].includes(at) && names.test(plain(field)));
    if (index !== -1) found.set(column, index);
  }
  const byValues = (column: string, fits: (values: readonly string[]) => boolean): void => {
    if (found.has(column)) return;
    const index = fields.findIndex((_, at) => ![...found.values()].includes(at) && fits(valuesOf(records, at)));
    if (index !== -1) found.set(column, index);
  };
  // Names in other languages: what the values are tells as much.
  byValues('event_time', (values) => timeFormat(values) !== undefined);
  byValues(
    'price',
    (values) => values.length > 0 && values.every((value) => /^\d[\d.]*,\d\d$|^\d[\d,]*\.\d\d$/.test(value)),
  );
  const lines = [
    `  event_id: { derive: [${fields.map(yamlText).join(', ')}] } # fields that tell one event from another`,
  ];
  for (const [column] of MEANINGS) {
    const index = found.get(column);
    if (index !== undefined)
      lines.push(`  ${column}: ${sourceOf(column, fields[index] ?? '', valuesOf(records, index))}`);
    else if ((REQUIRED_COLUMNS as readonly string[]).includes(column)) lines.push(missing(column));
    else if (column === 'currency' && found.has('price'))
      lines.push('  currency: { value: EUR } # TODO: a price needs one, the file seems to have none');
  }
  const unused = fields.flatMap((field, index) =>
    [...found.values()].includes(index) ? [] : [printableLine(`  #   ${field}${exampleOf(valuesOf(records, index))}`)],
  );
  if (unused.length > 0) lines.push('  # not used, with their first values:', ...unused);
  return lines;
}

const MAX_EXAMPLES = 3;
const MAX_EXAMPLE = 40;

function exampleOf(values: readonly string[]): string {
  const first = [...new Set(values)]
    .slice(0, MAX_EXAMPLES)
    .map((value) => clip(value.replace(/\s+/g, ' '), MAX_EXAMPLE));
  return first.length === 0 ? ': always empty' : `: ${first.join(', ')}`;
}

function plain(field: string): string {
  return field
    .trim()
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replace(/[\s-]+/g, '_')
    .toLowerCase();
}

function valuesOf(records: Records, index: number): string[] {
  return records.map((record) => record[index] ?? '').filter((value) => value !== '');
}

function sourceOf(column: string, field: string, values: readonly string[]): string {
  if (column === 'event_time') return timeOf(field, values);
  if (column === 'price' && values.some((value) => /,\d{1,2}$/.test(value)))
    return `{ sql: ${JSON.stringify(`replace(replace(${sqlName(field)}, '.', ''), ',', '.')`)} }`;
  if (column !== 'event_type') return yamlText(field);
  const kinds = [...new Set(values)].slice(0, 20);
  return `{ from: ${yamlText(field)}, map: { ${kinds.map((kind) => `${yamlText(kind)}: ${eventTypeOf(kind)}`).join(', ')} } } # TODO: check`;
}

const EVENT_TYPES: readonly (readonly [RegExp, string])[] = [
  [/refund|return/i, 'refund'],
  [/remove.*(cart|basket)/i, 'remove_from_cart'],
  [/cart|basket|add/i, 'add_to_cart'],
  [/wish|fav/i, 'add_to_wishlist'],
  [/purchase|order|buy|transaction|sale|checkout_?complete/i, 'purchase'],
  [/checkout/i, 'begin_checkout'],
  [/search/i, 'search'],
  [/page/i, 'page_view'],
  [/view|pv|click|detail/i, 'view_item'],
  [/session/i, 'session_start'],
];

function eventTypeOf(kind: string): string {
  return EVENT_TYPES.find(([pattern]) => pattern.test(kind))?.[1] ?? 'page_view';
}

function timeOf(field: string, values: readonly string[]): string {
  const format =
    timeFormat(values) ?? epochFormat(values) ?? '"YYYY-MM-DD HH24:MI:SS", zone: UTC } # TODO: the pattern';
  return `{ from: ${yamlText(field)}, time: ${format}`;
}

/** Of numbers, which may be something else unless their name says so. */
function epochFormat(values: readonly string[]): string | undefined {
  const all = (pattern: RegExp): boolean => values.length > 0 && values.every((value) => pattern.test(value));
  if (all(/^\d{9,10}(\.\d+)?$/)) return 'epoch-s }';
  if (all(/^\d{12,13}$/)) return 'epoch-ms }';
  return all(/^\d{15,16}$/) ? 'epoch-us }' : undefined;
}

/** The format of values that are times, as the end of a mapping; undefined for all others. */
function timeFormat(values: readonly string[]): string | undefined {
  if (values.length > 0 && values.every((value) => /^\d{4}-\d\d-\d\d/.test(value)))
    return 'iso, zone: UTC } # zone: of times that name none';
  const numbers = /^(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4})(?: (\d{1,2}):\d\d(:\d\d)?( ?[AaPp][Mm])?)?/;
  const parts = values.map((value) => numbers.exec(value));
  const [first] = parts;
  if (first === null || first === undefined || parts.includes(null)) return undefined;
  const isDayFirst = parts.some((part) => Number(part?.[1]) > 12) || first[2] === '.';
  const separator = first[2] ?? '/';
  const date = (isDayFirst ? ['DD', 'MM', 'YYYY'] : ['MM', 'DD', 'YYYY']).join(separator);
  const isHalf = first[7] !== undefined;
  const time =
    first[5] === undefined
      ? ''
      : ` ${isHalf ? 'HH12' : 'HH24'}:MI${first[6] === undefined ? '' : ':SS'}${isHalf ? `${first[7]?.startsWith(' ') === true ? ' ' : ''}AM` : ''}`;
  const isSure = parts.some((part) => Number(part?.[1]) > 12 || Number(part?.[3]) > 12);
  return `"${date}${time}", zone: UTC }${isSure ? '' : ' # TODO: day or month first?'}`;
}

function missing(column: string): string {
  if (column === 'event_type')
    return '  event_type: { value: page_view } # TODO: which event a record is; by a field: { from: FIELD, map: { its value: view_item } }';
  if (column === 'event_time') return '  event_time: { sql: "null::timestamptz" } # TODO: when it was';
  return `  ${column}: { value: unknown } # TODO: the file seems to have none`;
}

function jsonColumns(records: Records): string[] {
  const keys = new Set<string>();
  for (const [line = ''] of records) for (const key of Object.keys(JSON.parse(line) as object)) keys.add(key);
  const found = new Map<string, string>();
  for (const [column, names] of MEANINGS) {
    const key = [...keys].find((candidate) => names.test(plain(candidate)) && ![...found.values()].includes(candidate));
    if (key !== undefined) found.set(column, key);
  }
  const get = (key: string): string => `record ->> '${key.replaceAll("'", "''")}'`;
  const lines = ['  event_id: { derive: [record] } # what tells one event from another'];
  for (const [column] of MEANINGS) {
    const key = found.get(column);
    if (key !== undefined)
      lines.push(
        `  ${column}: { sql: ${JSON.stringify(column === 'event_time' ? `(${get(key)})::timestamptz` : get(key))} }`,
      );
    else if ((REQUIRED_COLUMNS as readonly string[]).includes(column)) lines.push(missing(column));
  }
  return [...lines, `  # keys of the records: ${[...keys].join(', ')}`];
}

/** A field as SQL names it. */
function sqlName(field: string): string {
  return /^[a-z_][a-z0-9_]*$/i.test(field) ? field : `"${field.replaceAll('"', '""')}"`;
}

/** A text as YAML has it in a list or mapping. */
function yamlText(text: string): string {
  return /^[A-Za-z_][\w ]*\w$|^[A-Za-z_]$/.test(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text)
    ? text
    : JSON.stringify(text);
}
