import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { generatorSettings, runAllSettings } from '../../src/commands/runAllSettings.js';
import { parseSettings } from '../../src/platform/settings.js';
import { NO_TERMINAL, startInTerminal } from '../helpers/pseudoTerminal.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { migratedDatabase, project, run, start } from '../cli/executable.js';

const DAY_MS = 86_400_000;
/** A small shop, so that its four weeks are loaded in a moment. */
const SMALL = ['--users', '300', '--seed', '5'];

interface Summary {
  readonly generated: { readonly rows: number };
  readonly outcome: Readonly<Record<string, number>>;
  readonly manifest: string;
  readonly proof: { readonly ok: boolean };
}

/** What the generator is told for these flags. */
function toldBy(flags: Record<string, string | boolean>) {
  const values = parseSettings(runAllSettings, { flags, environment: {}, envFile: {} });
  const { rate, intervalSeconds, batchSize, historyMs } = generatorSettings(values);
  return { rate, intervalSeconds, batchSize, days: historyMs === undefined ? undefined : historyMs / DAY_MS };
}

test('by itself run-all is warm and lively; every flag about the pace or the end wins', () => {
  const none = { rate: undefined, intervalSeconds: undefined, batchSize: undefined };
  assert.deepEqual(toldBy({}), { ...none, rate: 25, intervalSeconds: 1, days: 28 });
  assert.deepEqual(toldBy({ rate: '300' }), { ...none, rate: 300, intervalSeconds: 1, days: 28 });
  assert.deepEqual(toldBy({ interval: '60' }), { ...none, intervalSeconds: 60, days: 28 });
  assert.deepEqual(toldBy({ batchSize: '7' }), { ...none, batchSize: 7, days: 28 });
  assert.deepEqual(toldBy({ interval: '0' }), { ...none, intervalSeconds: 0, days: undefined });
  for (const flags of [{ events: '9' }, { batches: '9' }, { untilDrained: true }, { history: 'none' }] as const)
    assert.equal(toldBy(flags).days, undefined, JSON.stringify(flags));
  assert.equal(toldBy({ history: '7d', untilDrained: true, events: '9' }).days, 7);
});

async function eventTimes(database: TestDatabase): Promise<{ past: number; live: number; firstDays: number }> {
  const [row] = await database.query<{ past: number; live: number; first: number }>(
    `select count(*) filter (where event_time < now() - interval '10 minutes')::int as past, count(*) filter (where event_time >= now() - interval '10 minutes')::int as live,
            extract(epoch from now() - min(event_time))::float8 / 86400 as first from events`,
  );
  return { past: row!.past, live: row!.live, firstDays: row!.first };
}

/** Starts the pipeline and waits until live events of it are loaded. */
async function untilLive(t: TestContext, database: TestDatabase, cwd: string, ...flags: readonly string[]) {
  const running = start(t, { cwd, env: database.env }, 'run-all', ...SMALL, '--json', ...flags);
  const { live } = await eventTimes(database);
  await until('live events are loaded', async () => (await eventTimes(database)).live > live + 20, 30_000);
  running.child.kill('SIGINT');
  const { exitCode, stdout, stderr } = await running.end;
  assert.equal(exitCode, 0, stderr);
  return { summary: JSON.parse(stdout) as Summary, stderr };
}

test('four weeks of history come first, once; a second run goes on live', { timeout: 120_000 }, async (t) => {
  const database = await migratedDatabase(t);
  const cwd = project(t);
  const first = await untilLive(t, database, cwd);
  const before = await eventTimes(database);
  assert.ok(before.past > 4000 && before.firstDays > 27 && before.firstDays < 28.1, JSON.stringify(before));
  assert.match(first.stderr, /info +loaded a history of [\d,]+ rows in [\d.]+ m?s \([\d,]+ rows\/s\)\n/);
  assert.equal(first.summary.outcome['loaded'], first.summary.generated.rows);
  assert.equal(first.summary.proof.ok, true);

  const second = await untilLive(t, database, cwd);
  assert.match(second.stderr, /info +no history: the table holds events already\n/);
  assert.doesNotMatch(second.stderr, /loaded a history/);
  assert.equal((await eventTimes(database)).past, before.past);
  assert.equal(second.summary.proof.ok, true);
  const run = JSON.parse(readFileSync(`${cwd}/${second.summary.manifest}`, 'utf8').split('\n')[0]!) as {
    historyStart: string | null;
  };
  assert.equal(run.historyStart, null);
});

test(
  '--history none has live events alone; with a duration the history does not count',
  { timeout: 120_000 },
  async (t) => {
    const [none, limited] = [await migratedDatabase(t), await migratedDatabase(t)];
    await untilLive(t, none, project(t), '--history', 'none');
    assert.equal((await eventTimes(none)).past, 0);
    const flags = ['--history', '7d', '--duration', '1.5s', '--rate', '20', '--until-drained', '--json'];
    const { exitCode, stdout, stderr } = await run(
      t,
      { cwd: project(t), env: limited.env },
      'run-all',
      ...SMALL,
      ...flags,
    );
    assert.equal(exitCode, 0, stderr);
    const { past, live } = await eventTimes(limited);
    assert.ok(past > 1000 && live >= 20 && live < 200, `${past}, ${live}`);
    assert.equal((JSON.parse(stdout) as Summary).proof.ok, true);
  },
);

test('files that wait mean that there is a history already', { timeout: 120_000 }, async (t) => {
  const database = await migratedDatabase(t);
  const cwd = project(t);
  assert.equal(
    (await run(t, { cwd }, 'generate', '--interval', '0', '--events', '50', '--batch-size', '25')).exitCode,
    0,
  );
  const { stderr } = await untilLive(t, database, cwd);
  // The mover may have been faster than the look at the directories, and the loader than that at the table.
  assert.match(stderr, /info +no history: (?:files of an earlier run wait|the table holds events already)\n/);
});

test('a history can not be asked for where nothing is live', async (t) => {
  const { exitCode, stderr } = await run(t, { cwd: project(t) }, 'run-all', '--history', '28d', '--interval', '0');
  assert.equal(exitCode, 2);
  assert.match(stderr, /history: with interval 0 all events are of the past already/);
  assert.equal((await run(t, { cwd: project(t) }, 'run-all', '--history', 'soon')).exitCode, 2);
});

test(
  'on a terminal the page is served, the panel calm, and Ctrl-C drains and ends with the proof',
  { skip: NO_TERMINAL, timeout: 120_000 },
  async (t) => {
    const { env } = await migratedDatabase(t);
    // Whoever has the usual port: another one is taken then.
    const taken = createServer();
    await once(taken.listen(8787, '127.0.0.1'), 'listening').catch(() => undefined);
    t.after(() => taken.close());
    const flags = [...SMALL, '--dirt', 'wrong-type=20%,redelivered-file=0.3', '--history', '2d'];
    const session = startInTerminal(
      t,
      { cwd: project(t), env: { ...env, NO_COLOR: '1' }, columns: 60 },
      'run-all',
      ...flags,
    );
    await until('the funnel is shown', () => /funnel {5}[1-9]/.test(session.text()), 30_000);
    const url = /dashboard {2}(http:\/\/127\.0\.0\.1:(\d+)\/)/.exec(session.text());
    assert.ok(url !== null && url[2] !== '8787', session.text().slice(-500));
    assert.match(await (await fetch(url[1]!)).text(), /<title>ecompipe<\/title>/);
    session.interrupt();
    assert.equal(await session.end, 0, session.text().slice(-2000));
    const text = session.text();
    assert.match(text, /draining; Ctrl-C again stops at once\n/);
    assert.match(text, /loaded a history of/);
    assert.match(
      text,
      /generated [\d,]+ rows in [^]*\n {2}[\d,]+ generated = [\d,]+ loaded \+ [^]*\nlost 0 · duplicated 0 · corrupted 0\n/,
    );
    assert.doesNotMatch(text, /rows? rejected, kept in ecompipe/, 'rejects are counted, not listed');
    assert.doesNotMatch(session.output(), /\u001b\[[\d;]*m/, 'NO_COLOR holds for the spinner too');
  },
);

test('--no-dashboard serves no page; without a terminal none is served either', { timeout: 120_000 }, async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const flags = ['run-all', '--batches', '1', '--until-drained'];
  const plain = await run(t, { cwd, env }, ...flags, '--log-level', 'debug');
  assert.doesNotMatch(plain.stderr, /dashboard/);
  const asked = await run(t, { cwd, env }, ...flags, '--dashboard');
  assert.match(asked.stderr, /the dashboard is on http:\/\/127\.0\.0\.1:\d+\//);
  if (NO_TERMINAL !== false) return;
  const session = startInTerminal(t, { cwd, env }, ...flags, '--no-dashboard', '--log-level', 'debug');
  assert.equal(await session.end, 0);
  assert.doesNotMatch(session.text(), /dashboard/);
});

for (const [name, args, said] of [
  [
    'generate',
    ['--interval', '0.05', '--batch-size', '5'],
    /generating {2}[\d,]+ rows {2}[\d,]+ files {2}[\d,]+ rows\/s/,
  ],
  ['move', [], /moving {2}0 files {2}0 B {2}0 files\/s/],
  ['stream', [], /loading {2}0 rows {2}0 files {2}0 rows\/s/],
] as const) {
  test(`${name} alone shows a live line on a terminal`, { skip: NO_TERMINAL, timeout: 120_000 }, async (t) => {
    const { env } = await migratedDatabase(t);
    const session = startInTerminal(t, { cwd: project(t), env }, name, ...args);
    await until('the line is shown', () => said.test(session.text()), 20_000);
    session.interrupt();
    assert.equal(await session.end, 0, session.text());
    assert.match(session.text(), /; Ctrl-C again stops at\s+once\n/);
  });
}
