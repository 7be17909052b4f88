import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { csv, migratedDatabase, project, run, start } from '../cli/executable.js';
import { startReceiver, type Post } from '../helpers/receiver.js';
import { until } from '../helpers/until.js';

/** A directory to run in, with files that wait to be loaded. */
function shop(
  t: TestContext,
  files: Readonly<Record<string, string>>,
): { readonly cwd: string; readonly put: typeof put } {
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  const put = (name: string, text: string): void => writeFileSync(path.join(cwd, 'data/processing', name), text);
  for (const [name, text] of Object.entries(files)) put(name, text);
  return { cwd, put };
}

const NOT_OURS = 'who,what\n1,2\n';
const eventsOf = (posts: readonly Post[]): string[] => posts.map(({ body }) => body.event);

test('a file in quarantine, a reject limit and a stop are posted, with what a person needs to know', async (t) => {
  const { env } = await migratedDatabase(t);
  const { url, posts } = await startReceiver(t);
  const { cwd } = shop(t, { 'a.csv': NOT_OURS, 'b.csv': csv(3, 2) });
  const limited = await run(t, { cwd, env }, 'stream', '--once', '--max-rejected', '1', '--notify-url', url);
  assert.equal(limited.exitCode, 4);
  const strict = await run(t, { cwd, env }, 'stream', '--once', '--strict', '--notify-url', url);
  assert.equal(strict.exitCode, 3);
  const away = { ...env, POSTGRES_PORT: '1', ECOMPIPE_NOTIFY_URL: url };
  assert.equal((await run(t, { cwd, env: away }, 'stream', '--once', '--retry-for', '0.2')).exitCode, 69);
  assert.deepEqual(eventsOf(posts).sort(), [
    'file_quarantined',
    'reject_limit_reached',
    'reject_limit_reached',
    'stream_stopped',
  ]);
  const of = (event: string): Post['body'] => posts.find(({ body }) => body.event === event)!.body;
  assert.equal(of('file_quarantined').details[0]!['file'], 'a.csv');
  assert.match(String(of('file_quarantined').details[0]!['reason']), /event_id/);
  assert.match(of('reject_limit_reached').text, /b\.csv has more rejected rows than --max-rejected 1/);
  const { exitCode, what, hint } = of('stream_stopped').details[0]!;
  assert.equal(exitCode, 69);
  assert.match(String(what), /PostgreSQL at 127\.0\.0\.1:1/);
  assert.match(String(hint), /POSTGRES_HOST/);
});

test('a run that ends well, or by a signal, posts nothing', async (t) => {
  const { env, query } = await migratedDatabase(t);
  const { url, posts } = await startReceiver(t);
  const { cwd } = shop(t, { 'a.csv': csv(3) });
  const running = start(t, { cwd, env }, 'stream', '--notify-url', url);
  await until(
    'the file is loaded',
    async () => (await query<{ n: number }>('select count(*)::int as n from events'))[0]!.n === 3,
  );
  running.child.kill('SIGTERM');
  assert.equal((await running.end).exitCode, 0);
  assert.deepEqual(posts, []);
});

test('a stream that gets nowhere says so, and that it goes on', { timeout: 120_000 }, async (t) => {
  const { env, connect } = await migratedDatabase(t);
  const { url, posts } = await startReceiver(t);
  const { cwd } = shop(t, { 'a.csv': csv(3) });
  const other = await connect();
  t.after(() => other.end());
  await other.query('begin; lock table events in access exclusive mode');
  const running = start(t, { cwd, env }, 'stream', '--notify-url', url, '--notify-stuck-after', '1s');
  await until('it is stuck', () => posts.length === 1);
  await other.query('commit');
  await until('it goes on', () => posts.length === 2);
  assert.deepEqual(eventsOf(posts), ['stream_stuck', 'stream_recovered']);
  assert.match(posts[0]!.body.text, /1 file waits in data\/processing, and none has been dealt with for/);
  running.child.kill('SIGTERM');
  assert.equal((await running.end).exitCode, 0);
});

test('a receiver that hangs holds up neither the loading nor the end', async (t) => {
  const { env, query } = await migratedDatabase(t);
  const { url, posts } = await startReceiver(t, () => undefined);
  const { cwd, put } = shop(t, { 'a.csv': NOT_OURS });
  const running = start(t, { cwd, env }, 'stream', '--notify-url', url);
  await until('the notice is under way', () => posts.length === 1);
  for (let count = 0; count < 50; count++) put(`bad${count}.csv`, `${NOT_OURS}${count},2\n`);
  put('good.csv', csv(3));
  await until(
    'the others are dealt with',
    async () =>
      (await query<{ n: number }>('select count(*)::int as n from ecompipe.files where state <> $1', ['loading']))[0]!
        .n === 52,
  );
  assert.equal(posts.length, 1);
  running.child.kill('SIGTERM');
  const { exitCode, stderr } = await running.end;
  assert.equal(exitCode, 0);
  assert.match(stderr, /50 notices of file_quarantined did not reach/);
});

test('a URL that can not be notified is told without its value', async (t) => {
  const { cwd } = shop(t, {});
  const twice = ['https://me:secret@a.example', '--notify-url', 'https://me:secret@b.example'];
  for (const args of [['ftp://me:secret@a.example'], ['https://me:secret%ZZ@a.example'], twice]) {
    const { exitCode, stderr } = await run(t, { cwd }, 'stream', '--notify-url', ...args);
    assert.equal(exitCode, 2);
    assert.match(stderr, /--notify-url(: | was given twice)/);
    assert.doesNotMatch(stderr, /secret/);
  }
});
