import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { listOwnFeeds, SHIPPED_FEED_NAMES, SHIPPED_FEEDS } from '../../src/contract/feeds/readFeeds.js';
import { project, run } from '../cli/executable.js';

test('in a clone, where the directory of own feeds is that of the shipped ones, each is listed once', async (t) => {
  const { stdout } = await run(t, { cwd: path.dirname(SHIPPED_FEEDS) }, 'feeds', 'list', '--json');
  const { feeds } = JSON.parse(stdout) as { feeds: { name: string; origin: string }[] };
  assert.deepEqual(
    feeds.map(({ name, origin }) => [name, origin]),
    SHIPPED_FEED_NAMES.map((name) => [name, 'shipped']),
  );
  assert.deepEqual(await listOwnFeeds(SHIPPED_FEEDS), []);
});

test('a feed can be written over the empty file that the shell has made of its name', async (t) => {
  const cwd = project(t);
  mkdirSync(path.join(cwd, 'feeds'));
  writeFileSync(path.join(cwd, 'feeds/rees46.yaml'), '');
  const { exitCode, stdout } = await run(t, { cwd }, 'feeds', 'show', 'rees46');
  const shipped = readFileSync(path.join(SHIPPED_FEEDS, 'rees46.yaml'), 'utf8');
  assert.deepEqual([exitCode, stdout], [0, `${shipped.trimEnd()}\n`]);
});

test('a foreign file gets a draft that names its time, its price and the first values of the other fields', async (t) => {
  const cwd = project(t);
  writeFileSync(
    path.join(cwd, 'export.csv'),
    'Kunde;Einzelpreis;Zeit;Aktion\nK-1;1.004,99;21.11.2026 09:12:05;gekauft\nK-2;59,90;21.11.2026 10:01:00;angesehen\n',
  );
  const { stdout } = await run(t, { cwd }, 'feeds', 'init', 'export.csv');
  assert.match(stdout, /event_time: \{ from: Zeit, time: "DD\.MM\.YYYY HH24:MI:SS", zone: UTC \}/);
  assert.match(stdout, /price: \{ sql: "replace\(translate\(Einzelpreis, '\.', ''\), ',', '\.'\)" \}/);
  assert.match(stdout, /currency: \{ value: EUR \} # TODO/);
  assert.match(stdout, / {2}# {3}Kunde: K-1, K-2\n {2}# {3}Aktion: gekauft, angesehen\n/);
});
