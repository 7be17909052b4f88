import tseslint from 'typescript-eslint';

const stages = ['generate', 'move', 'stream', 'migrate', 'verify', 'rejects', 'trace', 'undo'];

/** Forbids imports whose specifier matches; `message` tells the direction that holds instead. */
const forbid = (files, regex, message) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: [{ regex, message }] }] },
});

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
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  // Imports run one way: library → commands → pipeline → core; stages meet in directories and tables, never in code.
  forbid(['src/core/**'], '(^|/)(commands|pipeline)/|/cli\\.js$', 'core knows no command and no stage'),
  forbid(['src/pipeline/*.ts'], '(^|/)commands/|/cli\\.js$', 'pipeline knows no command'),
  ...stages.map((stage) =>
    forbid(
      [`src/pipeline/${stage}/**`],
      `(^|/)commands/|/cli\\.js$|(^|/)(${stages.filter((other) => other !== stage).join('|')})/|/runAll\\.js$`,
      'a stage imports only core and itself',
    ),
  ),
  forbid(
    ['src/commands/**'],
    '/cli\\.js$|(^|/)library/|^(node:fs|node:fs/promises|pg|pg-copy-streams)$',
    'a command parses, calls and prints',
  ),
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
