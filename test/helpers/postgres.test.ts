import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startTestServer } from './postgres.js';

test('a database made from a template has its tables and rows', async () => {
  const server = await startTestServer();
  const template = await server.createTemplate('with_rows', async (database) => {
    await database.query('create table t as select generate_series(1, 3) as n');
  });
  const [first, second] = await Promise.all([server.createDatabase({ template }), server.createDatabase({ template })]);
  await first.query('delete from t');
  assert.deepEqual(await second.query('select count(*)::int as rows from t'), [{ rows: 3 }]);
  await first.drop();
});

test('server and data are gone after the test process was killed with SIGKILL', async () => {
  const script = `const { startTestServer } = await import(${JSON.stringify(fileURLToPath(new URL('./postgres.ts', import.meta.url)))});
    const server = await startTestServer();
    process.stdout.write(server.dataDirectory + '\\n');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const home = path.dirname(line.toString().trim());
  assert.ok(existsSync(home));
  child.kill('SIGKILL');
  const deadline = Date.now() + 10_000;
  while (existsSync(home) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(!existsSync(home), `${home} is still there`);
});
