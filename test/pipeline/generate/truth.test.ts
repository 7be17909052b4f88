import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROFILES } from '../../../src/pipeline/generate/profile.js';
import { DIRT_KINDS, type FaultKind } from '../../../src/pipeline/generate/faults/kinds.js';
import type { FaultLine, FileLine } from '../../../src/contract/manifest/format.js';
import { INVARIANTS } from '../../../scripts/realism/invariants.js';
import { actualBooks, expectedBooks, loaded } from './loaded.js';
import { generated, type Output } from './run.js';

for (const profile of Object.keys(PROFILES)) {
  test(`clean events of profile ${profile} are all accepted, add up to the manifest and keep every rule`, async (t) => {
    const output = await generated(t, { events: 30_000, batchSize: 7000, profile });
    const database = await loaded(t, output.directory);
    assert.deepEqual(await actualBooks(database), expectedBooks(output.manifest));
    for (const { rule, sql } of INVARIANTS)
      assert.deepEqual(await database.query(`select * from (${sql}) as broken limit 1`), [], rule);
  });
}

test('dirty events become exactly what the manifest says', async (t) => {
  const output = await generated(t, { events: 20_000, batchSize: 400, dirt: 'dirty' });
  const database = await loaded(t, output.directory);
  assert.deepEqual(await actualBooks(database), expectedBooks(output.manifest));
});

const kindsOf = (unit: 'row' | 'file'): FaultKind[] =>
  (Object.keys(DIRT_KINDS) as FaultKind[]).filter((kind) => DIRT_KINDS[kind].unit === unit);
const faultsOf = ({ manifest }: Output, kind: string): FaultLine[] =>
  manifest.filter((line): line is FaultLine => line.line === 'fault' && line.kind === kind);
const filesOf = ({ manifest }: Output): FileLine[] => manifest.filter((line): line is FileLine => line.line === 'file');

test('every kind of row fault alone becomes what the manifest says', async (t) => {
  const outputs: Output[] = [];
  for (const [index, kind] of kindsOf('row').entries()) {
    const output = await generated(t, { events: 200, batchSize: 50, seed: 100 + index, dirt: `${kind}=0.2` });
    assert.ok(faultsOf(output, kind).length > 5, `${kind} occurs`);
    outputs.push(output);
  }
  const database = await loaded(t, ...outputs.map(({ directory }) => directory));
  assert.deepEqual(await actualBooks(database), expectedBooks(outputs.flatMap(({ manifest }) => manifest)));
});

test('every kind of file fault alone becomes what the manifest says', async (t) => {
  const outputs: Output[] = [];
  for (const [index, kind] of kindsOf('file').entries()) {
    const output = await generated(t, { events: 200, batchSize: 20, seed: 200 + index, dirt: `${kind}=0.5` });
    assert.ok(
      filesOf(output).some(({ fileFaults, redeliveryOf }) => fileFaults.includes(kind) || redeliveryOf !== null),
      `${kind} occurs`,
    );
    outputs.push(output);
  }
  const database = await loaded(t, ...outputs.map(({ directory }) => directory));
  assert.deepEqual(await actualBooks(database), expectedBooks(outputs.flatMap(({ manifest }) => manifest)));
});

test('row faults and file faults together still become what the manifest says', async (t) => {
  const everything = (Object.keys(DIRT_KINDS) as FaultKind[]).map((kind) => `${kind}=0.04`).join(',');
  const output = await generated(t, { events: 6000, batchSize: 60, dirt: everything });
  const database = await loaded(t, output.directory);
  assert.deepEqual(await actualBooks(database), expectedBooks(output.manifest));
});
