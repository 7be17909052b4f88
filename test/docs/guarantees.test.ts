import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const document = readFileSync(path.join(ROOT, 'docs/guarantees.md'), 'utf8');

/** Titles of the tests in a file, with `…` for each part that a case fills in. */
function titlesIn(file: string): string[] {
  const source = readFileSync(path.join(ROOT, file), 'utf8');
  return [...source.matchAll(/\btest\(\s*(['"`])((?:\\.|(?!\1).)*)\1/gs)].map(([, , title = '']) =>
    title.replace(/\$\{[^}]*\}/g, '…'),
  );
}

test('every test that docs/guarantees.md names exists', () => {
  const named = [...document.matchAll(/^- `(test\/\S+)`: (.+)$/gm)].map(([, file = '', title = '']) => ({
    file,
    title,
  }));
  assert.ok(named.length > 30);
  assert.deepEqual(
    named.filter(({ file, title }) => !titlesIn(file).includes(title)),
    [],
  );
});

test('docs/guarantees.md lists the planted defects', () => {
  const source = readFileSync(path.join(ROOT, 'test/pipeline/stream/plantedDefects.test.ts'), 'utf8');
  const defects = [...source.matchAll(/^ {2}'([^']+)': \{$/gm)].map(([, what = '']) => what);
  assert.ok(defects.length >= 10);
  const [, listed = ''] = /<!-- defects -->\n([\s\S]*?)<!-- \/defects -->/.exec(document) ?? [];
  assert.deepEqual(
    listed.trimEnd().split('\n'),
    defects.map((what) => `  - ${what}`),
  );
});
