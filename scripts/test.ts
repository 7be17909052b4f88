// Runs the test files whose path holds one of the arguments (all by default): `npm test -- stream slow`.
// A test that hangs fails: a quarter of an hour is far more than the longest file takes on a busy machine.
// Node 20's runner neither expands globs nor finds TypeScript files by itself.
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { runTests } from './runTests.js';

// One more than there are processors, as tests wait for disks, processes and time-outs; each has a server of its own.
const FILES_AT_ONCE = Math.min(4, availableParallelism() + 1);

const wanted = process.argv.slice(2);
const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => path.join('test', file))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) throw new Error(`no test file matches ${wanted.join(' ')}`);
runTests(files, `--test-concurrency=${FILES_AT_ONCE}`, '--test-timeout=900000');
