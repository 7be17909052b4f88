import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { documentBlocks, ROOT } from './markdown.js';
import { PROVOCATIONS } from './provocations.js';

const messages = documentBlocks('docs/troubleshooting.md').filter(({ language }) => language === 'text');

for (const { provokedBy, source, text, place } of messages) {
  test(`${place}: ${text.split('\n')[0] ?? ''}`, async (t) => {
    if (source !== undefined) {
      const built = readFileSync(path.join(ROOT, source), 'utf8').replaceAll("\\'", "'");
      assert.ok(
        text
          .trim()
          .split('…')
          .every((part) => built.includes(part)),
        `${source} says no such thing`,
      );
      return;
    }
    const provoke = PROVOCATIONS[provokedBy ?? ''];
    assert.ok(provoke, 'a message needs `provoked=NAME` of provocations.ts, or `source=FILE`');
    const said = await provoke(t);
    if (said === undefined) t.skip('this machine does not allow it');
    else assert.match(said, patternOf(text));
  });
}

test('each provocation is for a message of the document', () => {
  const used = new Set(messages.map(({ provokedBy }) => provokedBy));
  assert.deepEqual(
    Object.keys(PROVOCATIONS).filter((name) => !used.has(name)),
    [],
  );
});

/** `…` stands for anything within its line; alone in a line, for any number of lines. */
function patternOf(text: string): RegExp {
  const escaped = text.trim().replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(escaped.replaceAll('\n…\n', '\n(?:[^\\n]*\\n)*').replaceAll('…', '[^\\n]*'));
}
