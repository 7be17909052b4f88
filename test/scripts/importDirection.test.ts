import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ESLint } from 'eslint';
import { ROOT } from '../docs/markdown.js';

const RULE = 'ecompipe/import-direction';
const SOURCES = path.join(ROOT, 'src');

const eslint = new ESLint({
  cwd: ROOT,
  ruleFilter: ({ ruleId }) => ruleId === RULE,
  // The rule needs no types, which would take most of the time.
  overrideConfig: { languageOptions: { parserOptions: { projectService: false } } },
});

/** What the rule says of a file that has one more line. */
async function refusals(file: string, line: string): Promise<readonly string[]> {
  const [result] = await eslint.lintText(`${line}\n${readFileSync(file, 'utf8')}`, { filePath: file });
  assert.ok(result !== undefined);
  return result.messages.filter(({ ruleId }) => ruleId === RULE).map(({ message }) => message);
}

/** Every folder of the sources with a file of its own, each by the first of them. */
const folders = new Map(
  readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .reverse()
    .map((name) => [path.dirname(name), path.join(SOURCES, name)]),
);
folders.delete('.');

/** Imports that are wrong in a folder: of the layer above and, in a folder of the pipeline, of a sibling. */
function wrongTargets(folder: string): readonly string[] {
  const [layer = '', part] = folder.split(path.sep);
  const above = {
    platform: 'contract/backlog',
    contract: 'pipeline/summary',
    pipeline: 'commands/move',
    commands: 'library/options',
    library: 'cli',
  }[layer];
  assert.ok(above !== undefined, `src/${layer} is a layer that this test does not know`);
  if (layer !== 'pipeline' || part === undefined) return [above];
  // Nobody imports the dashboard.
  return [above, part === 'dashboard' ? 'pipeline/move/runMove' : 'pipeline/dashboard/server'];
}

function specifierOf(file: string, target: string): string {
  const relative = path.relative(path.dirname(file), path.join(SOURCES, `${target}.js`));
  return relative.startsWith('.') ? relative : `./${relative}`;
}

test('as they are, all sources obey the direction of imports', async () => {
  for (const file of folders.values()) assert.deepEqual(await refusals(file, ''), [], file);
});

for (const [folder, file] of folders) {
  for (const wrong of wrongTargets(folder).map((target) => specifierOf(file, target))) {
    test(`lint refuses ${wrong} in src/${folder}`, async () => {
      const spellings = [
        `import '${wrong}';`,
        `import type { X } from '${wrong}';`,
        `export * from '${wrong}';`,
        `void import('${wrong}');`,
        `export type Y = import('${wrong}').Y;`,
      ];
      for (const line of spellings) assert.equal((await refusals(file, line)).length, 1, line);
    });
  }
}

test('an observer imports what it observes and no more, and no stage imports what supervises it', async () => {
  const judge = async (from: string, to: string): Promise<number> => {
    const file = path.join(SOURCES, from);
    return (await refusals(file, `import '${specifierOf(file, to)}';`)).length;
  };
  assert.equal(await judge('pipeline/metrics/metrics.ts', 'pipeline/stream/streamEventTable'), 0);
  assert.equal(await judge('pipeline/metrics/metrics.ts', 'pipeline/pipelineState'), 1);
  assert.equal(await judge('pipeline/dashboard/server.ts', 'pipeline/status/runStatus'), 0);
  assert.equal(await judge('pipeline/dashboard/server.ts', 'pipeline/rejects/list'), 1);
  assert.equal(await judge('pipeline/stream/runStream.ts', 'pipeline/runAll'), 1);
  assert.equal(await judge('pipeline/prune/runPrune.ts', 'pipeline/undo/runUndo'), 1);
});
