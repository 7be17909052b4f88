import tseslint from 'typescript-eslint';
import importDirection from './scripts/importDirection.js';

/** What messages count: of one it is said in the singular. */
const counted = 'files|rows|fields|records|events|batches|columns|tables|rejects|reasons|runs|faults|others';

export default tseslint.config(
  { ignores: ['dist/', 'bench/.cache/', 'node_modules/', 'data/', 'coverage/', 'spark/', '.spark/', '.ecompipe/'] },
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
  {
    files: ['src/**'],
    plugins: { ecompipe: { rules: { 'import-direction': importDirection } } },
    rules: { 'ecompipe/import-direction': 'error' },
  },
  {
    files: ['src/commands/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: '^(node:fs|node:fs/promises|pg|pg-copy-streams)$', message: 'a command parses, calls and prints' },
          ],
        },
      ],
    },
  },
  { files: ['src/cli.ts'], rules: { 'no-restricted-properties': 'off' } },
  {
    files: ['test/**', 'bench/**', 'scripts/**'],
    rules: {
      'max-lines-per-function': 'off',
      'no-restricted-syntax': 'off',
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
