import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrapWords } from '../../src/platform/terminal.js';

test('a line that is too long is broken between words', () => {
  assert.equal(wrapWords('loaded 3,000,000 rows from 3 files', 20), 'loaded 3,000,000\n  rows from 3 files');
  assert.equal(wrapWords('  indented as it was', 40), '  indented as it was');
  assert.equal(wrapWords('a /path/that/is/longer/than/all of it', 20), 'a\n  /path/that/is/longer/than/all\n  of it');
});

test('colours take no room', () => {
  assert.equal(wrapWords('\u001b[36minfo\u001b[39m it fits', 12), '\u001b[36minfo\u001b[39m it fits');
});
