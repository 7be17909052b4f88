import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { createCatalogue } from '../../../src/pipeline/generate/catalogue.js';
import { parseProfile } from '../../../src/pipeline/generate/settings.js';
import { generated, type Output } from './run.js';

/**
 * What a seed means is a promise to everyone who recorded one. When one of these hashes changes on purpose, it is a
 * breaking change and the release notes must say so. When only the catalogue's changes, look at faker first: its word
 * lists are edited between releases.
 */
const GOLDEN = {
  catalogue: 'fec6acc09a991fd511d45bb3a236a927aeea2b226ab6358db63d2cd41284754d',
  clean: 'ea6ca7bd27df8a561d31f39238f675bb1a14de0c66469314a8b4e5f21f60878b',
  dirty: '70cb909812f0af9426c75972900ddc41585b2c7729b107aa02fec012cd7e4d37',
  paced: 'b0582c0c707859ceb481d08113d007756933ad869b7fa136f57e68494ab2a44e',
};

function fingerprint({ names, directory }: Output): string {
  const hash = createHash('sha256');
  for (const name of names) hash.update(name).update(readFileSync(`${directory}/${name}`));
  return hash.digest('hex');
}

test('the catalogue of a seed is the recorded one', async () => {
  const { items } = await createCatalogue(parseProfile('default'), 500, { low: 1, high: 2 });
  assert.equal(createHash('sha256').update(JSON.stringify(items)).digest('hex'), GOLDEN.catalogue);
});

test('clean files of a seed are the recorded ones', async (t) => {
  assert.equal(fingerprint(await generated(t, { events: 3000, batchSize: 450 })), GOLDEN.clean);
});

test('dirty files of a seed are the recorded ones', async (t) => {
  assert.equal(fingerprint(await generated(t, { events: 3000, batchSize: 150, dirt: 'dirty' })), GOLDEN.dirty);
});

test('files of a paced run are the recorded ones: the clock of the machine is not in them', async (t) => {
  assert.equal(fingerprint(await generated(t, { intervalSeconds: 0.001, events: 100, batchSize: 10 })), GOLDEN.paced);
});

test('no source of the generator uses what differs between machines and engines', () => {
  const directory = new URL('../../../src/pipeline/generate/', import.meta.url);
  const forbidden =
    /Math\.(random|exp|expm1|log\w*|pow|sin|cos|tan|cbrt|hypot)\b|\*\*|\bIntl\b|toLocale|localeCompare|\.getHours|\.getDay\(|performance\.timeOrigin/;
  // Powers of two are exact.
  const allowed = /\b2 \*\* \d+/g;
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((entry) =>
    entry.endsWith('.ts'),
  )) {
    const code = readFileSync(new URL(name, directory), 'utf8').replace(/\/\*\*[\s\S]*?\*\/|\/\/.*/g, '');
    assert.doesNotMatch(code.replaceAll(allowed, ''), forbidden, name);
  }
});
