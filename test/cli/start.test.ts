import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { migratedDatabase, project, run } from './executable.js';

/** Notes which modules of Node.js and which packages a process has loaded. */
const NOTE_MODULES = `
  import { createRequire } from 'node:module';
  import { writeFileSync } from 'node:fs';
  process.on('exit', () => {
    const files = Object.keys(createRequire(import.meta.url).cache);
    writeFileSync(process.env.MODULES, JSON.stringify([...process.moduleLoadList, ...files]));
  });`;

test('a start of stream --once loads no YAML without feeds, and no HTTP/2 for pg', async (t) => {
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  const [hook, modules] = [path.join(cwd, 'hook.mjs'), path.join(cwd, 'modules.json')];
  writeFileSync(hook, NOTE_MODULES);
  const database = await migratedDatabase(t);
  const env = {
    ...database.env,
    NODE_OPTIONS: `--import ${pathToFileURL(hook).href}`,
    MODULES: modules,
  };
  const { exitCode, stderr } = await run(t, { cwd, env }, 'stream', '--once');
  assert.equal(exitCode, 0, stderr);
  const loaded = JSON.parse(readFileSync(modules, 'utf8')) as string[];
  assert.ok(
    loaded.some((name) => name.includes('node_modules/pg/')),
    'what is loaded is noted',
  );
  assert.deepEqual(
    loaded.filter((name) => /node_modules\/yaml\/|NativeModule (http2|internal\/deps\/undici)/.test(name)),
    [],
  );
});
