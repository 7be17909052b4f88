import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { printable, printableLine, shellQuote } from '../../src/platform/printable.js';

const HOSTILE = [
  '',
  '-x',
  '~',
  '!!',
  '*',
  "it's",
  '$(id)',
  '`id`',
  '"',
  '\\',
  'a\nb',
  "\u001b[2J'\\n$(x)",
  '\u202e\u0085',
  '雪 é.csv',
  '#',
  '=',
];

const CHARACTERS = Array.from('\'"\\$`!*?~#&;|<>(){}[] \t\n\r\u001b\u0007\u009b\u202eaé雪0');

test('a quoted word comes out of bash as it went in, and holds nothing that a terminal obeys', () => {
  const word = fc.oneof(
    fc.constantFrom(...HOSTILE),
    fc.array(fc.constantFrom(...CHARACTERS), { maxLength: 12 }).map((characters) => characters.join('')),
  );
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 40 }), (words) => {
      const quoted = words.map(shellQuote);
      const script = `printf '%s\\0' ${quoted.join(' ')}`;
      const said = execFileSync('bash', ['-c', script], { encoding: 'utf8', env: { LC_ALL: 'C.UTF-8' } });
      assert.deepEqual(said.split('\0').slice(0, -1), words);
      for (const text of quoted) assert.equal(printableLine(text), text);
    }),
    { numRuns: 60 },
  );
});

test('a part of a line stays on its line', () => {
  assert.equal(printableLine('a\nb\r\u001b'), 'a\\nb\\u000d\\u001b');
  assert.equal(printable('a\nb'), 'a\nb');
});
