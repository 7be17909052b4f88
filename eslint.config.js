import tseslint from 'typescript-eslint';

/** Stages of the pipeline; they meet in directories and tables, never in code. */
const stages = ['generate', 'move', 'stream', 'migrate', 'verify', 'rejects', 'trace', 'undo'];
/** Folders of `pipeline` that look at what the stages did; what each may import beside the layers below. */
const observers = { status: [], metrics: stages, dashboard: ['status', 'metrics'] };

/** Forbids imports whose specifier matches; `message` tells the direction that holds instead. */
const forbid = (files, regex, message) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: [{ regex, message }] }] },
});

/** Layers from the lowest to the highest. */
const layers = ['platform', 'contract', 'pipeline', 'commands', 'library'];

/** Imports of what lies above a layer. */
function above(layer) {
  return `(^|/)(${[...layers.slice(layers.indexOf(layer) + 1).map((name) => `${name}/`), 'cli\\.js$'].join('|')})`;
}

/** A folder of `pipeline` imports itself, the layers below, and the sibling folders named. */
function forbidPipeline(folder, allowed) {
  const siblings = [...stages, ...Object.keys(observers)].filter((name) => name !== folder && !allowed.includes(name));
  return forbid(
    [`src/pipeline/${folder}/**`],
    `${above('pipeline')}|\\.\\./(${siblings.join('|')})/|\\.\\./(runAll|pipelineState|summary|logEvents)\\.js$`,
    `${folder} imports only ${['itself', ...allowed, 'contract', 'platform'].join(', ')}`,
  );
}

/** What messages count: of one it is said in the singular. */
const counted = 'files|rows|fields|records|events|batches|columns|tables|rejects|reasons|runs|faults|others';

export default tseslint.config(
  { ignores: ['dist/', 'bench/.cache/', 'node_modules/', 'data/', 'coverage/', 'spark/', '.ecompipe/'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'no-console': 'error',
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'exit', message: 'Only src/cli.ts ends the process: throw an EcompipeError.' },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: `TemplateElement[value.raw=/^ (more |other )?(${counted})\\b(?!\\u002f)/]`,
          message: "A count of one has a singular: countOf(files, 'file').",
        },
      ],
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  // Imports run one way: library → commands → pipeline → contract → platform.
  forbid(
    ['src/platform/**'],
    above('platform'),
    'platform is what any such tool could have: it knows nothing above it',
  ),
  forbid(['src/contract/**'], above('contract'), 'contract knows no command and no stage'),
  forbid(['src/pipeline/*.ts'], above('pipeline'), 'pipeline knows no command'),
  ...stages.map((stage) => forbidPipeline(stage, [])),
  ...Object.entries(observers).map(([folder, allowed]) => forbidPipeline(folder, allowed)),
  forbid(
    ['src/commands/**'],
    `${above('commands')}|^(node:fs|node:fs/promises|pg|pg-copy-streams)$`,
    'a command parses, calls and prints',
  ),
  forbid(['src/library/**', 'src/index.ts'], '/cli\\.js$', 'only the executable is above the library'),
  { files: ['src/cli.ts'], rules: { 'no-restricted-properties': 'off' } },
  {
    files: ['test/**', 'bench/**', 'scripts/**'],
    rules: {
      'max-lines-per-function': 'off',
      'no-console': 'off',
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', name: ['test', 'describe', 'it', 'suite'], package: 'node:test' },
          ],
        },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  { files: ['*.js', 'bin/*.js', 'scripts/*.js', 'page/*.js'], ...tseslint.configs.disableTypeChecked },
);
