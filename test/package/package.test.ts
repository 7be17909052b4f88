import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { documentBlocks, ROOT } from '../docs/markdown.js';
import { startTestServer } from '../helpers/postgres.js';
import { execute, packAndUnpack } from './packed.js';

const packed = packAndUnpack();
after(packed.remove);

test('the package holds what is needed and nothing else', () => {
  const files = packed.files.filter((file) => !file.includes('/'));
  assert.deepEqual(files.sort(), [
    '.env.example',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'package.json',
  ]);
  const directories = [
    'bin',
    'dist',
    'docs',
    'feeds',
    'page',
    'sql',
    ...(existsSync(path.join(ROOT, 'spark')) ? ['spark'] : []),
  ];
  assert.deepEqual(
    [...new Set(packed.files.filter((file) => file.includes('/')).map((file) => file.split('/')[0]))].sort(),
    directories.sort(),
  );
  const useless =
    /\.map$|(?<!\.d)\.ts$|\.tsbuildinfo$|\.test\.|(^|\/)(test|bench|scripts|node_modules|target)\/|(^|\/)\.env$/;
  assert.deepEqual(
    packed.files.filter((file) => useless.test(file)),
    [],
  );
});

test('every module in it has its source, and every source its module', () => {
  const names = (directory: string, ending: RegExp): string[] =>
    readdirSync(path.join(ROOT, directory), { recursive: true, encoding: 'utf8' })
      .filter((name) => ending.test(name))
      .map((name) => name.replace(ending, ''))
      .sort();
  // Not by .js: what browsers get has no types.
  const modules = packed.files
    .filter((file) => file.startsWith('dist/') && file.endsWith('.d.ts'))
    .map((file) => file.slice('dist/'.length, -'.d.ts'.length))
    .sort();
  assert.deepEqual(modules, names('src', /\.ts$/), 'npm run build');
});

test('what package.json points to is in it', () => {
  const { exports, bin } = packed.manifest;
  const targets = [
    ...Object.values(bin),
    ...Object.values(exports).flatMap((target) => (typeof target === 'string' ? [target] : Object.values(target))),
  ];
  assert.deepEqual(
    targets.filter((target) => !existsSync(path.join(packed.directory, target))),
    [],
  );
});

test('its own dependencies are enough: the examples of docs/library.md compile in strict mode and run', async (t) => {
  const examples = documentBlocks('docs/library.md').filter(({ file }) => file !== undefined);
  assert.deepEqual(
    examples.map(({ file }) => file),
    ['pipeline.ts', 'operate.ts'],
  );
  for (const { file = '', text } of examples) writeFileSync(path.join(packed.project, file), text);
  // The types of Node itself are the project's own affair.
  mkdirSync(path.join(packed.project, 'node_modules/@types'), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules/@types/node'), path.join(packed.project, 'node_modules/@types/node'));
  const strict = [
    '--strict',
    '--exactOptionalPropertyTypes',
    '--noUncheckedIndexedAccess',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
  ];
  execute(
    process.execPath,
    [path.join(ROOT, 'node_modules/typescript/bin/tsc'), ...strict, 'pipeline.ts', 'operate.ts'],
    packed.project,
  );

  const database = await (await startTestServer()).createDatabase();
  t.after(() => database.drop());
  const runExample = (program: string): string =>
    execute(process.execPath, [program], packed.project, { PATH: process.env['PATH'], ...database.env });
  const printed = runExample('pipeline.js');
  const { made, moved, loaded, rejectedIn, ok } = JSON.parse(printed) as {
    made: number;
    moved: number;
    loaded: { read: number; inserted: number; duplicate: number; rejected: number };
    rejectedIn: number;
    ok: boolean;
  };
  assert.equal(ok, true, printed);
  assert.ok(moved >= 10 && loaded.rejected > 0 && rejectedIn > 0, printed);
  assert.ok(loaded.inserted <= made, printed);
  assert.deepEqual(await database.query('select count(*)::int as rows from events'), [{ rows: loaded.inserted }]);

  const operated = runExample('operate.js');
  const seen = JSON.parse(operated) as Record<string, unknown>;
  assert.equal(seen['exported'], loaded.rejected, operated);
  assert.deepEqual([seen['replayed'], seen['inserted'], seen['duplicate']], [loaded.rejected, 0, 0], operated);
  assert.deepEqual([seen['violations'], seen['kind'], seen['plan']], [[], 'invalid', 'would-undo'], operated);
  assert.ok(
    (seen['loaded'] as number) > 0 && (seen['total'] as number) > 0 && (seen['page'] as number) > 500,
    operated,
  );
});

test('an error of the library tells its exit code and its hint, and does not end the process', () => {
  const script =
    "import { runMove, EcompipeError } from 'ecompipe'; await runMove({ from: 'nowhere', once: true }).catch((error) => console.log(error instanceof EcompipeError, error.exitCode, error.facts.hint)); console.log('still here');";
  assert.equal(
    execute(process.execPath, ['--input-type=module', '-e', script], packed.project),
    'true 74 create it, or name another one\nstill here\n',
  );
});

test('the change log has the version, with its date, on top', () => {
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const [, newest] =
    /^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$/m.exec(readFileSync(path.join(ROOT, 'CHANGELOG.md'), 'utf8')) ?? [];
  assert.equal(newest, version);
});
