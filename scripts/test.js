// Runs the test files whose path holds one of the arguments (all by default): `npm test -- stream slow`.
// A test that hangs fails: five minutes are far more than the longest takes.
// Node 20's runner neither expands globs nor finds TypeScript files by itself.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';

const wanted = process.argv.slice(2);
const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => path.join('test', file))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) throw new Error(`no test file matches ${wanted.join(' ')}`);
const { status } = spawnSync(
  process.execPath,
  ['--import', 'tsx', '--test', '--test-concurrency=2', '--test-timeout=300000', ...files],
  { stdio: 'inherit' },
);
process.exitCode = status ?? 1;
