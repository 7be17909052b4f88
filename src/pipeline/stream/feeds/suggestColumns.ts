import { REQUIRED_COLUMNS } from '../../../contract/columns.js';
import { clip, printableLine } from '../../../platform/printable.js';

/** Names under which sources have what our columns mean. */
const MEANINGS: readonly (readonly [column: string, names: RegExp])[] = [
  ['event_type', /^(event|event_?(type|name)|type|action|behaviou?r|activity)$/],
  [
    'event_time',
    /^(event_?)?(time|timestamp|date|datetime|ts|created(_at)?|occurred_at)$|_(time|timestamp|at|date)$|^(invoice|order)_?date$/,
  ],
  ['user_id', /^(user|visitor|customer|client|person|member|account)(_?id|_pseudo_id)?$|(^|_)e_?mail(_|$)/],
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
  ['price', /^(unit_?|item_?|lineitem_?)?(price|cost)$|^amount$/],
  ['quantity', /^(item_?|lineitem_?)?(quantity|qty|count)$/],
  ['currency', /(^|_)currency(_?code)?$/],
  ['coupon', /^(coupon|voucher|discount)(_?code)?$/],
  ['payment_type', /^payment(_?(type|method))?$/],
  ['order_id', /^(order|transaction|invoice|basket)_?(id|no|number)?$/],
];

/** An amount of money as people write it, maybe with the sign of a currency. */
const AMOUNT = /^\p{Sc}?\s?\d[\d.]*,\d\d(\s?\p{Sc})?$|^\p{Sc}?\s?\d[\d,]*\.\d\d(\s?\p{Sc})?$/u;

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
  byValues('price', (values) => values.length > 0 && values.every((value) => AMOUNT.test(value)));
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
    .replace(/[\s()[\].-]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .toLowerCase();
}

function valuesOf(records: Records, index: number): string[] {
  return records.map((record) => record[index] ?? '').filter((value) => value !== '');
}

function sourceOf(column: string, field: string, values: readonly string[]): string {
  if (column === 'event_time') return timeOf(field, values);
  if (column === 'price') return priceOf(field, values);
  if (column !== 'event_type') return yamlText(field);
  const kinds = [...new Set(values)].slice(0, 20);
  return `{ from: ${yamlText(field)}, map: { ${kinds.map((kind) => `${yamlText(kind)}: ${eventTypeOf(kind)}`).join(', ')} } } # TODO: check`;
}

/** A number as the table reads it: without separators of thousands and signs, and with a point. */
function priceOf(field: string, values: readonly string[]): string {
  const signs = [...new Set(values.join('').match(/[\p{Sc}\s]/gu) ?? [])].join('');
  const hasComma = values.some((value) => /,\d{1,2}\D*$/.test(value));
  const thousands = hasComma ? '.' : values.some((value) => value.includes(',')) ? ',' : '';
  if (signs === '' && thousands === '') return yamlText(field);
  const digits = `translate(${sqlName(field)}, ${sqlText(`${signs}${thousands}`)}, '')`;
  return `{ sql: ${JSON.stringify(hasComma ? `replace(${digits}, ',', '.')` : digits)} }`;
}

function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
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
  return namedMonth(values) ?? numberedMonth(values);
}

/** `Nov 21, 2026 9:12:05 AM` and `21 Nov 2026 09:12`. */
function namedMonth(values: readonly string[]): string | undefined {
  const parts = values.map((value) =>
    /^(?:([A-Z][a-z]{2,8})\.? (\d{1,2})(,?) |(\d{1,2})([ /-])([A-Z][a-z]{2,8})\5)(\d{4})(.*)$/.exec(value),
  );
  const [first] = parts;
  if (first === null || first === undefined || parts.includes(null)) return undefined;
  const [, leading, , comma = '', , separator = ' ', following = '', , rest = ''] = first;
  const month = (leading ?? following).length > 3 ? 'Month' : 'Mon';
  const clock = /^[, :T]*\d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?/.exec(rest);
  const before = /^[, :T]*/.exec(rest)?.[0] ?? '';
  const date = leading === undefined ? `DD${separator}${month}${separator}YYYY` : `${month} DD${comma} YYYY`;
  return `${JSON.stringify(`${date}${clock === null ? '' : before + clockOf(clock[1], clock[2])}`)}, zone: UTC }`;
}

function clockOf(seconds: string | undefined, half: string | undefined): string {
  return `${half === undefined ? 'HH24' : 'HH12'}:MI${seconds === undefined ? '' : ':SS'}${half === undefined ? '' : `${half.startsWith(' ') ? ' ' : ''}AM`}`;
}

/** `31.12.2026 23:05`, `12/31/2026 11:05 PM` and `2026/12/31 23:05`. */
function numberedMonth(values: readonly string[]): string | undefined {
  const yearFirst = /^\d{4}\/\d\d?\/\d\d?(?: \d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?)?/.exec(values[0] ?? '');
  if (yearFirst !== null && values.every((value) => /^\d{4}\/\d\d?\/\d\d?/.test(value)))
    return `"YYYY/MM/DD${yearFirst[0].includes(':') ? ` ${clockOf(yearFirst[1], yearFirst[2])}` : ''}", zone: UTC }`;
  const numbers = /^(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4})(?: (\d{1,2}):\d\d(:\d\d)?( ?[AaPp][Mm])?)?/;
  const parts = values.map((value) => numbers.exec(value));
  const [first] = parts;
  if (first === null || first === undefined || parts.includes(null)) return undefined;
  const isDayFirst = parts.some((part) => Number(part?.[1]) > 12) || first[2] === '.';
  const separator = first[2] ?? '/';
  const date = (isDayFirst ? ['DD', 'MM', 'YYYY'] : ['MM', 'DD', 'YYYY']).join(separator);
  const time = first[5] === undefined ? '' : ` ${clockOf(first[6], first[7])}`;
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
  const values = new Map<string, unknown[]>();
  for (const [line = ''] of records)
    for (const [key, value] of Object.entries(JSON.parse(line) as Record<string, unknown>))
      values.set(key, [...(values.get(key) ?? []), ...(value === null ? [] : [value])]);
  const found = jsonMeanings(values);
  const get = (key: string): string => `record ->> ${sqlText(key)}`;
  const lines = ['  event_id: { derive: [record] } # what tells one event from another'];
  for (const [column] of MEANINGS) {
    const key = found.get(column);
    if (key !== undefined) {
      const sql = column === 'event_time' ? jsonTime(get(key), textsOf(values.get(key))) : get(key);
      lines.push(`  ${column}: { sql: ${JSON.stringify(sql)} }`);
    } else if ((REQUIRED_COLUMNS as readonly string[]).includes(column)) lines.push(missing(column));
  }
  for (const [key, list] of values)
    if (list.some((value) => Array.isArray(value) && value.some((element) => typeof element === 'object')))
      lines.push(
        `  # a row for each element of ${printableLine(key)}, above columns: ${printableLine(`rows: ${JSON.stringify(`jsonb_array_elements(record -> ${sqlText(key)}) as item`)}`)}`,
      );
  return [...lines, printableLine(`  # keys of the records: ${[...values.keys()].join(', ')}`)];
}

/** Which keys seem to have what a column means: of those with texts or numbers; a time of day rather than a date. */
function jsonMeanings(values: ReadonlyMap<string, readonly unknown[]>): Map<string, string> {
  const found = new Map<string, string>();
  const isPlain = (key: string): boolean => (values.get(key) ?? []).every((value) => typeof value !== 'object');
  for (const [column, names] of MEANINGS) {
    const keys = [...values.keys()].filter(
      (key) => names.test(plain(key)) && isPlain(key) && ![...found.values()].includes(key),
    );
    const isDay = (key: string): boolean =>
      textsOf(values.get(key)).every((value) => /^\d{8}$|^\d{4}-\d\d-\d\d$/.test(value));
    const key = column === 'event_time' ? (keys.find((each) => !isDay(each)) ?? keys[0]) : keys[0];
    if (key !== undefined) found.set(column, key);
  }
  return found;
}

function textsOf(values: readonly unknown[] = []): string[] {
  return values.flatMap((value) => (typeof value === 'string' || typeof value === 'number' ? [String(value)] : []));
}

const PER_SECOND = { 'epoch-s }': '', 'epoch-ms }': ' / 1000', 'epoch-us }': ' / 1000000' };

function jsonTime(text: string, values: readonly string[]): string {
  const epoch = epochFormat(values) as keyof typeof PER_SECOND | undefined;
  return epoch === undefined ? `(${text})::timestamptz` : `to_timestamp((${text})::float8${PER_SECOND[epoch]})`;
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
