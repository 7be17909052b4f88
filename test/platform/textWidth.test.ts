import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clipTo, fitPrefix, padTo, textWidth } from '../../src/platform/textWidth.js';

const FAMILY = '👩‍👩‍👧';

test('letters of East Asia and emoji take two columns, and what combines with a letter takes none', () => {
  assert.deepEqual(
    ['', 'abc', '雪', 'キー', '한국', 'e\u0301', '🛒', FAMILY, 'Ü…→'].map(textWidth),
    [0, 3, 2, 4, 4, 1, 2, 2, 3],
  );
});

test('what is padded or clipped ends at one column, and no letter is cut in two', () => {
  assert.deepEqual(
    ['雪', 'ab', `${FAMILY}x`].map((text) => textWidth(padTo(text, 5))),
    [5, 5, 5],
  );
  assert.equal(clipTo('雪雪雪', 6), '雪雪雪');
  assert.equal(clipTo('雪雪雪', 5), '雪雪…');
  assert.equal(clipTo('雪雪雪', 4), '雪…');
  assert.equal(clipTo(`a${FAMILY}b`, 3), 'a…');
  assert.equal(fitPrefix(`${FAMILY}${FAMILY}`, 3), FAMILY);
  assert.equal(clipTo('x'.repeat(1_000_000), 10), `${'x'.repeat(9)}…`);
});
