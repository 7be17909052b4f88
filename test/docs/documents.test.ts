import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { commands } from '../../src/commands/index.js';
import { documentBlocks, DOCUMENTS, readDocument, ROOT } from './markdown.js';
import { emptyDatabase, FROM_SOURCES, scratch, shell } from './shell.js';

const GUIDE = 'docs/user_guide.md';
const SHELL = new Set(['sh', 'bash', 'console', 'shell']);

/** Documents whose commands run here, in order; the guide has a test of its own. */
for (const document of DOCUMENTS.filter(
  (name) =>
    name !== GUIDE && documentBlocks(name).some(({ language, norun }) => SHELL.has(language) && norun === undefined),
)) {
  test(`the commands of ${document} run, in a directory in which run-all has been`, async (t) => {
    const directory = scratch(t);
    const run = shell(directory, FROM_SOURCES, await emptyDatabase(t));
    await run(
      'ecompipe run-all --interval 0 --batches 2 --batch-size 100 --dirt wrong-type=5% --until-drained --quiet',
    );
    for (const { language, file, norun, text, place } of documentBlocks(document)) {
      if (norun !== undefined) continue;
      if (file !== undefined && ['csv', 'yaml'].includes(language)) {
        mkdirSync(path.dirname(path.join(directory, file)), { recursive: true });
        writeFileSync(path.join(directory, file), text);
      }
      if (SHELL.has(language)) await t.test(`${place}: ${text.split('\n')[0] ?? ''}`, () => run(text));
    }
  });
}

test('commands that no test runs say why', () => {
  const silent = DOCUMENTS.flatMap(documentBlocks).filter(({ norun }) => norun === '');
  assert.deepEqual(
    silent.map(({ place }) => place),
    [],
    'write ```sh norun: the reason',
  );
});

test('a block of commands is marked as one', () => {
  const suspicious = DOCUMENTS.flatMap(documentBlocks).filter(
    ({ language, text }) => !SHELL.has(language) && /^(\$ )?(npx )?ecompipe /m.test(text) && language !== 'text',
  );
  assert.deepEqual(
    suspicious.map(({ place }) => place),
    [],
  );
});

test('flags and commands that the documents name exist', () => {
  const known = new Set([
    '--help',
    '--version',
    '--env-file',
    '--no-color',
    ...[...readDocument('docs/reference.md').matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag),
  ]);
  const named = DOCUMENTS.flatMap((document) =>
    [...readDocument(document).matchAll(/ecompipe(?: [a-z-]+)?((?: [\w./:%=-]+)*)/g)].flatMap(([line]) =>
      // What stands after -- is another program's.
      [...line.replace(/ -- .*/s, '').matchAll(/ (--[a-z-]+)/g)].map(([, flag = '']) => ({ document, flag })),
    ),
  );
  assert.deepEqual(
    named.filter(({ flag }) => !known.has(flag)),
    [],
  );
});

test('the README has every command in its table, and the reference its help', () => {
  const [readme, reference] = [readDocument('README.md'), readDocument('docs/reference.md')];
  const visible = commands.filter(({ hidden }) => hidden !== true).map(({ name }) => name);
  assert.deepEqual(
    visible.filter(
      (name) =>
        !new RegExp(`^\\| \`${name}[\` ]`, 'm').test(readme) || !reference.includes(`### ecompipe ${name} --help`),
    ),
    [],
  );
});

test('the README can be read in one go', () => {
  assert.ok(readDocument('README.md').split('\n').length <= 220);
});

test('the states that the architecture draws are those of the ledger', () => {
  const architecture = readDocument('docs/architecture.md');
  const [, states = ''] =
    /state in \(([^)]+)\)/.exec(readFileSync(path.join(ROOT, 'sql/002_ledger.sql'), 'utf8')) ?? [];
  for (const [, state] of states.matchAll(/'(\w+)'/g)) assert.match(architecture, new RegExp(`--> ${state}\\b`));
});

test('every link of the documents leads to a file, and to a heading where it names one', () => {
  const broken = DOCUMENTS.flatMap((document) =>
    [...readDocument(document).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)]
      .map(([, link = '']) => link)
      .filter((link) => {
        const [file = '', anchor] = link.split('#');
        const target = file === '' ? document : path.join(path.dirname(document), file);
        if (!existsSync(path.join(ROOT, target))) return true;
        return anchor !== undefined && !anchorsOf(target).has(anchor);
      })
      .map((link) => `${document}: ${link}`),
  );
  assert.deepEqual(broken, []);
});

test('every document is linked from the README', () => {
  const readme = readDocument('README.md');
  assert.deepEqual(
    DOCUMENTS.filter((name) => name !== 'README.md' && !readme.includes(`](${name})`)),
    [],
  );
});

test('the overview names every table of the ledger, and no other', () => {
  const schema = readFileSync(path.join(ROOT, 'sql/schema.sql'), 'utf8');
  const tables = [...schema.matchAll(/^CREATE (?:UNLOGGED )?TABLE ((?:public|ecompipe)\.\w+)/gm)].map(
    ([, name]) => name,
  );
  const [, section = ''] = /^## Tables\n([\s\S]*?)^## /m.exec(readDocument('docs/project_overview.md')) ?? [];
  assert.deepEqual([...section.matchAll(/^\| `([\w.]+)`/gm)].map(([, name]) => name).sort(), tables.sort());
});

test('the tests that test_cases.md names exist', () => {
  const sources = readdirSync(path.join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(path.join(ROOT, 'test', name), 'utf8').replaceAll("\\'", "'"))
    .join('\n');
  const text = readDocument('docs/test_cases.md');
  const titles = [...text.matchAll(/“([^”]+)”/g)].map(([, title = '']) => title);
  assert.ok(titles.length > 20);
  // `…` stands for what a matrix fills in.
  assert.deepEqual(
    titles.filter((title) => !title.split('…').every((part) => sources.includes(part))),
    [],
  );
  const files = [...text.matchAll(/`((?:test|src|scripts|bench)\/[\w./]*)`/g)].map(([, file = '']) => file);
  assert.deepEqual(
    files.filter((file) => !existsSync(path.join(ROOT, file))),
    [],
  );
});

test('the files that CONTRIBUTING and the architecture name exist', () => {
  for (const document of ['CONTRIBUTING.md', 'docs/architecture.md']) {
    const named = [
      ...readDocument(document).matchAll(
        /`((?:src|sql|spark|scripts|test|bench|page|docs|pipeline|platform|contract)\/[\w./-]+)`/g,
      ),
    ];
    assert.ok(named.length > 5);
    const files = named.map(([, file = '']) => (/^(pipeline|platform|contract)\//.test(file) ? `src/${file}` : file));
    assert.deepEqual(
      files.filter((file) => !existsSync(path.join(ROOT, file))),
      [],
      document,
    );
    // Without a folder: somewhere in the sources or the tests.
    const names = new Set(
      ['src', 'test', 'sql', 'scripts']
        .flatMap((folder) => readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }))
        .map((file) => path.basename(file)),
    );
    const bare = [...readDocument(document).matchAll(/`([\w.]+\.(?:ts|sql))`/g)].map(([, file = '']) => file);
    assert.deepEqual(
      bare.filter((file) => !names.has(file)),
      [],
      document,
    );
  }
});

/** As GitHub makes them of headings. */
function anchorsOf(document: string): Set<string> {
  const headings = [...readDocument(document).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'),
  );
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_\s-]/gu, '')
        .replace(/\s/g, '-'),
    ),
  );
}
