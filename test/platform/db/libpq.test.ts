import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseConnectionUrl } from '../../../src/platform/db/connectionUrl.js';
import { LIBPQ_KEYWORDS } from '../../../src/platform/db/libpqKeywords.js';
import { UsageError } from '../../../src/platform/errors.js';

const SCRIPT = path.join(import.meta.dirname, 'libpq.py');

interface Libpq {
  /** Every parameter that this machine's libpq knows, and its environment variable. */
  readonly keywords: Readonly<Record<string, string | null>>;
  readonly parsed: readonly (Readonly<Record<string, string>> | null)[];
}

/** Asks the libpq of this machine, as every other client of PostgreSQL uses it. */
function askLibpq(urls: readonly string[]): Libpq {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent' };
  const { status, stdout, stderr } = spawnSync('python3', [SCRIPT], {
    input: JSON.stringify(urls),
    encoding: 'utf8',
    env,
    maxBuffer: 2 ** 28,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Libpq;
}

function ours(url: string): Record<string, string> | null {
  try {
    const parameters = parseConnectionUrl(url);
    for (const keyword of parameters.keys()) if (!Object.hasOwn(LIBPQ_KEYWORDS, keyword)) return null;
    // libpq keeps an empty value as one; for both it means the default.
    return Object.fromEntries([...parameters].filter(([, value]) => value !== ''));
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}

test('the parameters that libpq knows, and their variables, are ours', () => {
  // libpq 15 has one for its own use, and none of the parameters that came later.
  const retired = ['authtype', 'tty'];
  for (const [keyword, variable] of Object.entries(askLibpq([]).keywords)) {
    if (retired.includes(keyword)) continue;
    assert.ok(Object.hasOwn(LIBPQ_KEYWORDS, keyword), keyword);
    // PGSSLKEY and others are named in the manual; libpq reads PGSERVICEFILE elsewhere.
    if (variable !== null) assert.equal(LIBPQ_KEYWORDS[keyword]?.variable, variable, keyword);
  }
});

const word = fc.oneof(
  {
    arbitrary: fc.constantFrom(
      'a',
      'shop',
      'u%40v',
      '%2Fsocket',
      '5432',
      '10.0.0.1',
      'ä',
      '%C3%A4',
      "'",
      '+',
      '%20',
      '%2B',
    ),
    weight: 15,
  },
  { arbitrary: fc.constantFrom('::1', 'p%zz', '%00', ''), weight: 1 },
);
const value = fc.oneof(
  word,
  fc.string({ maxLength: 6 }).map(encodeURIComponent),
  fc.constantFrom('true', 'require', 'a=b', 'a%3Db'),
);
const keyword = fc.oneof(
  {
    arbitrary: fc.constantFrom(
      ...Object.keys(LIBPQ_KEYWORDS).filter(
        (name) =>
          !/requiressl|oauth|scram_|keylog|cert_?mode|min_protocol|max_protocol|sslneg|load_bal|gssdeleg|require_auth|servicefile/.test(
            name,
          ),
      ),
    ),
    weight: 5,
  },
  { arbitrary: fc.constantFrom('ssl', 'sslMode', 'nope', '', 'h%6Fst', 'HOST'), weight: 1 },
);
const pair = fc.oneof(
  { arbitrary: fc.tuple(keyword, value).map(([name, text]) => `${name}=${text}`), weight: 8 },
  { arbitrary: fc.constantFrom('host', '=x', 'host==x'), weight: 1 },
);
const maybe = (arbitrary: fc.Arbitrary<string>) => fc.option(arbitrary, { nil: '' });
const urlWith = (port: fc.Arbitrary<string>, ...schemes: string[]) =>
  fc
    .tuple(
      fc.oneof(
        { arbitrary: fc.constantFrom('postgresql://', 'postgres://'), weight: 10 },
        ...schemes.map((scheme) => fc.constant(scheme)),
      ),
      maybe(fc.tuple(word, maybe(word.map((text) => `:${text}`))).map(([user, password]) => `${user}${password}@`)),
      maybe(fc.oneof(word, fc.constantFrom('[::1]', '[::1', 'a,b', 'a:1,b:2'))),
      maybe(port.map((text) => `:${text}`)),
      maybe(word.map((name) => `/${name}`)),
      maybe(fc.array(pair, { maxLength: 3 }).map((pairs) => `?${pairs.join('&')}`)),
    )
    .map((parts) => parts.join(''));

test('a URL means to us what it means to libpq, or is refused', () => {
  const urls = fc.sample(urlWith(fc.oneof(fc.constantFrom('5432', '1'), word), 'postgresql:/', 'Postgresql://', ''), {
    numRuns: 20_000,
    seed: 11,
  });
  const { parsed } = askLibpq(urls);
  let understood = 0;
  for (const [index, text] of urls.entries()) {
    const mine = ours(text);
    if (mine === null) continue;
    const theirs = parsed[index];
    // We take a second equals sign for a part of the value; libpq wants it encoded.
    if (!theirs && /[?&][^&]*=[^&]*=/.test(text)) continue;
    assert.ok(theirs, `libpq refuses ${text}, we read ${JSON.stringify(mine)}`);
    assert.deepEqual(mine, Object.fromEntries(Object.entries(theirs).filter(([, text]) => text !== '')), text);
    understood++;
  }
  assert.ok(understood > 2000, `only ${understood} of ${urls.length} were understood`);
});

test('what libpq understands and we refuse is what the guide says: several hosts, and what is no port or no URL', () => {
  const urls = fc.sample(urlWith(fc.constantFrom('5432', '1')), { numRuns: 20_000, seed: 12 });
  const { parsed } = askLibpq(urls);
  const unexpected = urls.filter((text, index) => {
    const theirs = parsed[index];
    // libpq looks at a port only when it connects.
    return theirs && ours(text) === null && /^\d*$/.test(theirs['port'] ?? '') && !/,|[\s#]|::1(?![\]&]|$)/.test(text);
  });
  assert.deepEqual(unexpected.slice(0, 5), []);
});
