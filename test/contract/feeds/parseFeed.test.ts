import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { globDefect, matchesGlob } from '../../../src/contract/feeds/glob.js';
import { parseFeed } from '../../../src/contract/feeds/parseFeed.js';
import { DEFAULT_FORMAT } from '../../../src/contract/feeds/parseFormat.js';
import { readFeedText, SHIPPED_FEED_NAMES, SHIPPED_FEEDS } from '../../../src/contract/feeds/readFeeds.js';
import { namesIn } from '../../../src/contract/feeds/sqlNames.js';
import { rewrite, wireOf } from '../../../src/pipeline/stream/feeds/wire.js';

function problemsOf(text: string): readonly string[] {
  return (parseFeed('x', 'x.yaml', text).problems ?? []).map((problem) => problem.replace(/^x\.yaml:/, ''));
}

test('all that is wrong with a feed is told at once, with line and column, and what was probably meant', () => {
  const text = `match: "[a"
fromat: { type: csv }
format: { delimiter: ";;", encoding: latin-2x, type: cvs }
columns:
  a: { from: x, mapp: {} }
  b: { value: 1, sql: "2" }
  c:
`;
  const expected = [
    '2:1: unknown key "fromat" of a feed (did you mean format?)',
    '1:8: "[a": a [ without its ]',
    '3:54: "cvs": expected one of csv, lines, jsonl',
    '3:38: unknown encoding "latin-2x"',
    '3:22: ";;": expected one ASCII character',
    '5:17: unknown key "mapp" of column a (did you mean map?)',
    '6:6: b: needs one of from:, value:, sql:, derive:, and has value and sql',
    '7:5: expected the name of a field',
  ];
  const problems = problemsOf(text);
  assert.deepEqual(
    problems.map((problem, index) => (problem.startsWith(expected[index] ?? '?') ? expected[index] : problem)),
    expected,
  );
});

const WRONG = [
  ['a YAML that is none', 'match: [', /1:\d+: /],
  ['no mapping', '- a', /expected keys/],
  ['no match', 'columns: { a: b }', /match: is missing/],
  ['no columns', 'match: "*"', /columns: is missing/],
  ['a key twice', 'match: "*"\nmatch: "*"\ncolumns: { a: b }', /unique/],
  [
    'an encoding that PostgreSQL cannot read',
    'match: "*"\nformat: { encoding: utf-16 }\ncolumns: { a: b }',
    /convert the file/,
  ],
  [
    'a delimiter that may be part of a character',
    'match: "*"\nformat: { encoding: shift_jis, delimiter: "|" }\ncolumns: { a: b }',
    /part of a character/,
  ],
  ['a delimiter for lines', 'match: "*"\nformat: { type: lines, delimiter: ";" }\ncolumns: { a: b }', /is for csv/],
  ['a zone without a time', 'match: "*"\ncolumns: { a: { from: b, zone: UTC } }', /zone: needs time:/],
  ['a set without its name', 'match: "*"\nrows: "f(x)"\ncolumns: { a: b }', /as item/],
  ['a field named twice', 'match: "*"\nformat: { header: [a, " A "] }\ncolumns: { a: a }', /named twice/],
] as const;

for (const [what, text, expected] of WRONG)
  test(`a feed with ${what} is refused`, () => assert.match(problemsOf(text).join('\n'), expected));

const GLOBS = [
  ['*.csv', 'a.csv', true],
  ['*.csv', 'sub/a.CSV', true],
  ['*.csv', 'a.csv.gz', false],
  ['sub/*.csv', 'sub/x/a.csv', false],
  ['sub/**/*.csv', 'sub/x/a.csv', true],
  ['sub/**/*.csv', 'sub/a.csv', true],
  ['a?[0-9].{csv,tsv}', 'ab7.tsv', true],
  ['a[!0-9]', 'a1', false],
  ['a\\*b', 'a*b', true],
  ['a.b', 'axb', false],
  ['Ä*', 'ärger', true],
] as const;

for (const [glob, name, expected] of GLOBS)
  test(`${glob} ${expected ? 'is' : 'is not'} for ${name}`, () => {
    assert.equal(globDefect(glob), undefined);
    assert.equal(matchesGlob(name, glob), expected);
  });

test('names in SQL are identifiers, and not what stands in texts and comments', () => {
  const sql = `coalesce("Line ""item""", Price) || 'no ''name' || $$no$$ || e'\\'no' -- no\n /* no */ + x1`;
  assert.deepEqual([...namesIn(sql)].sort(), ['Line "item"', 'coalesce', 'price', 'x1']);
});

test('a record that is written anew has the same fields', () => {
  const field = fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', 'N', '\u0001', ' '), maxLength: 6 });
  const dialect = { kind: 'csv', delimiter: 0x3b, quote: 0x27 } as const;
  const nulls = ['N', ''];
  const wire = wireOf({ ...DEFAULT_FORMAT, nulls }, dialect);
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 4 }), (fields) => {
      const record = fields.map((text) => (/^$|[\r\n]/.test(text) || text === 'N' ? `'${text}'` : text)).join(';');
      const expected = fields.map((text) => (/^$|[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text));
      assert.equal(rewrite(Buffer.from(record), dialect, wire, nulls).toString(), expected.join(','));
    }),
  );
});

test('each shipped feed is in order, and names the schema in its first line', async () => {
  assert.deepEqual(
    readdirSync(SHIPPED_FEEDS).sort(),
    ['feed.schema.json', ...SHIPPED_FEED_NAMES.map((name) => `${name}.yaml`)].sort(),
  );
  for (const name of SHIPPED_FEED_NAMES) {
    const { file, text } = await readFeedText(SHIPPED_FEEDS, name);
    assert.deepEqual(parseFeed(name, file, text).problems ?? [], []);
    assert.match(text, /^# yaml-language-server: \$schema=\.\/feed\.schema\.json\n/);
  }
  JSON.parse(readFileSync(path.join(SHIPPED_FEEDS, 'feed.schema.json'), 'utf8'));
});
