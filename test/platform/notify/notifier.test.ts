import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test, type TestContext } from 'node:test';
import { createLogger } from '../../../src/platform/log.js';
import { Notifier, type Notice } from '../../../src/platform/notify/notifier.js';
import { parseWebhook } from '../../../src/platform/notify/webhook.js';
import { startReceiver } from '../../helpers/receiver.js';
import { until } from '../../helpers/until.js';

const notice = (file: string, event = 'file_quarantined'): Notice => ({
  event,
  text: `${file} went to quarantine`,
  facts: { file, reason: 'no header' },
});

interface Started {
  readonly notifier: Notifier;
  readonly lines: readonly string[];
}

function start(t: TestContext, url: string): Started {
  const lines: string[] = [];
  const log = createLogger({ level: 'debug', format: 'json', color: false }, (line) => lines.push(line));
  const notifier = new Notifier(parseWebhook(url), 'stream', log);
  t.after(() => notifier.close());
  return { notifier, lines };
}

test('a notice is posted as JSON, at once', async (t) => {
  const { url, posts } = await startReceiver(t);
  start(t, url).notifier.notify(notice('a.csv'));
  await until('the post is there', () => posts.length === 1);
  const { path, headers, body } = posts[0]!;
  assert.deepEqual([path, headers['content-type'], headers.authorization], ['/hook', 'application/json', undefined]);
  const { time, version, ...rest } = body;
  assert.ok(Math.abs(Date.now() - Date.parse(time)) < 60_000);
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.deepEqual(rest, {
    event: 'file_quarantined',
    text: 'ecompipe stream: a.csv went to quarantine',
    host: hostname(),
    command: 'stream',
    count: 1,
    details: [{ file: 'a.csv', reason: 'no header' }],
  });
});

test('ten thousand notices are two posts: the first, and all others with the facts of the first twenty', async (t) => {
  const { url, posts } = await startReceiver(t);
  const { notifier } = start(t, url);
  notifier.notify(notice('0.csv'));
  await until('the first post is there', () => posts.length === 1);
  for (let count = 1; count < 10_000; count++) notifier.notify(notice(`${count}.csv`));
  notifier.notify(notice('', 'stream_stopped'));
  await until('one of another kind does not wait', () => posts.length === 2);
  await notifier.close();
  assert.deepEqual(
    posts.map(({ body: { event, count, details } }) => [event, count, details.length]),
    [
      ['file_quarantined', 1, 1],
      ['stream_stopped', 1, 1],
      ['file_quarantined', 9999, 20],
    ],
  );
  assert.match(posts[2]!.body.text, /^ecompipe stream: 1\.csv went to quarantine \(and 9,998 more\)$/);
});

test('user and password become a header, and appear in no line of the log; neither does the path', async (t) => {
  const receiver = await startReceiver(t, (response, count) => void response.writeHead(count === 1 ? 503 : 404).end());
  const { notifier, lines } = start(t, `http://me:p%40ss@127.0.0.1:${receiver.port}/T0KEN?key=K3Y`);
  notifier.notify(notice('a.csv'));
  await until('it is given up', () => lines.some((line) => line.includes('"notify_failed"')));
  const expected = `Basic ${Buffer.from('me:p@ss').toString('base64')}`;
  assert.deepEqual(
    receiver.posts.map(({ path, headers }) => [path, headers.authorization]),
    [
      ['/T0KEN?key=K3Y', expected],
      ['/T0KEN?key=K3Y', expected],
    ],
  );
  assert.doesNotMatch(lines.join(''), /p@ss|p%40ss|T0KEN|K3Y|Basic/);
  assert.match(lines.join(''), /cannot notify 127\.0\.0\.1:\d+: it answered 503 Service Unavailable; trying again/);
  assert.match(
    lines.join(''),
    /1 notice of file_quarantined did not reach 127\.0\.0\.1:\d+: it answered 404 Not Found/,
  );
});

test('a redirection is not followed: the password is not meant for others', async (t) => {
  const other = await startReceiver(t);
  const receiver = await startReceiver(t, (response) => void response.writeHead(307, { location: other.url }).end());
  const { notifier, lines } = start(t, receiver.url);
  notifier.notify(notice('a.csv'));
  await until('it is given up', () => lines.some((line) => line.includes('"notify_failed"')));
  assert.deepEqual([receiver.posts.length, other.posts.length], [1, 0]);
});

test('a receiver that fails at first gets the notice later', async (t) => {
  const receiver = await startReceiver(t, (response, count) => void response.writeHead(count < 3 ? 500 : 204).end());
  const { notifier, lines } = start(t, receiver.url);
  notifier.notify(notice('a.csv'));
  await until('the third attempt', () => receiver.posts.length === 3);
  await notifier.close();
  assert.deepEqual(new Set(receiver.posts.map(({ body }) => body.details[0]!['file'])), new Set(['a.csv']));
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { level: string; event: string }).level),
    ['warn', 'debug', 'debug'],
    'one warning is enough',
  );
});

test('at the end a receiver that hangs, and one that is away, get a few seconds and no more', async (t) => {
  const hanging = await startReceiver(t, () => undefined);
  const gone = await startReceiver(t);
  await gone.close();
  for (const [{ url }, reason] of [
    [hanging, /no answer before the end of the command/],
    [gone, /ECONNREFUSED/],
  ] as const) {
    const { notifier, lines } = start(t, url);
    notifier.notify(notice('a.csv'));
    notifier.notify(notice('b.csv', 'stream_stopped'));
    const startedAtMs = performance.now();
    await notifier.close();
    const tookMs = performance.now() - startedAtMs;
    assert.ok(tookMs > 4000 && tookMs < 8000, `${tookMs} ms`);
    assert.match(lines.join(''), reason);
    assert.equal(lines.filter((line) => line.includes('"notify_failed"')).length, 2, lines.join(''));
  }
});

test('a receiver that hangs is given up after ten seconds, and asked again', { timeout: 120_000 }, async (t) => {
  const receiver = await startReceiver(t, (response, count) => {
    if (count > 1) response.end();
  });
  const { notifier, lines } = start(t, receiver.url);
  notifier.notify(notice('a.csv'));
  await until('the second attempt', () => receiver.posts.length === 2, 20_000);
  assert.match(lines.join(''), /no answer within 10 s; trying again/);
});

test('only http and https are notified, and no message shows the URL', () => {
  for (const url of [
    'ftp://me:secret@a.example/',
    'file:///etc/passwd',
    'secret',
    'http://',
    'http://a%ZZ:secret@a.example/',
  ])
    assert.throws(
      () => parseWebhook(url),
      (error) => error instanceof Error && !error.message.includes('secret'),
      url,
    );
  assert.deepEqual(parseWebhook('https://hooks.example/services/T0/B0'), {
    url: 'https://hooks.example/services/T0/B0',
    authorization: undefined,
    label: 'hooks.example',
  });
});
