// `npm run test:spark [-- words]`: installs Spark into .spark/ and runs test/spark/, or those of it whose path holds a word.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { runTests } from '../runTests.js';
import { installForTests } from './install.js';

const wanted = process.argv.slice(2);
const files = readdirSync('test/spark')
  .filter((name) => name.endsWith('.spark.ts') && (wanted.length === 0 || wanted.some((word) => name.includes(word))))
  .map((name) => path.join('test/spark', name))
  .sort();
if (files.length === 0) throw new Error(`no test file matches ${wanted.join(' ')}`);
installForTests();
// One after the other: each starts a Spark of its own, and measures nothing that waiting could not reach.
runTests(files, '--test-concurrency=1', '--test-timeout=600000');
