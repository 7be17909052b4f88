import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { createOwnerId, ownedDirectory, ownershipKey, takeOwnership } from '../../src/contract/streamOwner.js';
import { migratedDatabase, onDatabase } from '../helpers/migrated.js';
import { until } from '../helpers/until.js';

const NEVER = new AbortController().signal;

function directoryFor(t: TestContext): string {
  const home = mkdtempSync(path.join(tmpdir(), 'ecompipe-owner-'));
  t.after(() => rmSync(home, { recursive: true }));
  const directory = path.join(home, 'checkpoints');
  mkdirSync(directory);
  return directory;
}

async function keyOf(directory: string): Promise<number> {
  await createOwnerId(directory);
  return await ownershipKey(directory);
}

test('two directories with one path and one host name, as in two containers, are two', async (t) => {
  const directory = directoryFor(t);
  const key = await keyOf(directory);
  renameSync(directory, `${directory}.other`);
  mkdirSync(directory);
  assert.notEqual(await keyOf(directory), key);
});

test('a directory that is found under another path is still the same one', async (t) => {
  const directory = directoryFor(t);
  const key = await keyOf(directory);
  renameSync(directory, `${directory}.moved`);
  assert.equal(await keyOf(`${directory}.moved`), key);
});

test('a copy of a directory is another one', async (t) => {
  const directory = directoryFor(t);
  const key = await keyOf(directory);
  cpSync(directory, `${directory}.copy`, { recursive: true });
  assert.notEqual(await keyOf(`${directory}.copy`), key);
});

test('streams that start together agree on one id', async (t) => {
  const directory = directoryFor(t);
  const keys = await Promise.all(Array.from({ length: 20 }, () => keyOf(directory)));
  assert.equal(new Set(keys).size, 1);
});

test('a stream waits for the lock of a predecessor that is just vanishing', async (t) => {
  const directory = directoryFor(t);
  const database = await migratedDatabase();
  await onDatabase(database, {}, async (target) => {
    const [first, second] = [await target.connect(), await target.connect()];
    t.after(() => Promise.all([first.close(), second.close()]));
    await takeOwnership(first, ownedDirectory(directory), NEVER);
    const { rows } = await second.client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const taking = takeOwnership(second, ownedDirectory(directory), NEVER).then(
      () => 'taken',
      (error: unknown) => error,
    );
    await until('the second one was refused once', async () => {
      const { rows: asked } = await first.client.query(
        "select from pg_stat_activity where pid = $1 and state = 'idle' and query like '%try_advisory_lock%'",
        [rows[0]?.pid],
      );
      return asked.length === 1;
    });
    await first.close();
    assert.equal(await taking, 'taken');
  });
});
