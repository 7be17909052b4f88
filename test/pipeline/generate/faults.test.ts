import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_COLUMNS, type EventColumn } from '../../../src/contract/columns.js';
import { isDeepStrictEqual } from 'node:util';
import { DIRT_KINDS, type FaultKind } from '../../../src/pipeline/generate/faults/kinds.js';
import type { FaultLine, FileLine } from '../../../src/contract/manifest/format.js';
import { generated, rowsOf, type Output } from './run.js';

const ROW_KINDS = (Object.keys(DIRT_KINDS) as FaultKind[]).filter((kind) => DIRT_KINDS[kind].unit === 'row');
const ALL_ROW_FAULTS = ROW_KINDS.map((kind) => `${kind}=0.02`).join(',');

const faultsOf = ({ manifest }: Output): FaultLine[] =>
  manifest.filter((line): line is FaultLine => line.line === 'fault');
const filesOf = ({ manifest }: Output): FileLine[] => manifest.filter((line): line is FileLine => line.line === 'file');
const EVENT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=,)/;

test('a fault stands on the line that the manifest says', async (t) => {
  const output = await generated(t, { events: 3000, batchSize: 300, dirt: `${ALL_ROW_FAULTS},crlf=0.5,bom=0.5` });
  for (const { file, fileLine, eventId, kind } of faultsOf(output).filter(
    (fault) => fault.eventId !== null && fault.fileLine !== null,
  )) {
    const line = output.contents[output.names.indexOf(file)]!.split('\n')[fileLine! - 1]!;
    assert.equal(EVENT_ID.exec(line)?.[0], eventId, `${kind} in ${file}:${String(fileLine)}`);
  }
});

test('a row has one fault at most', async (t) => {
  const output = await generated(t, { events: 3000, batchSize: 300, dirt: ALL_ROW_FAULTS });
  const kinds = new Map<string, string>();
  for (const { eventId, kind } of faultsOf(output)) {
    if (eventId === null) continue;
    assert.equal(kinds.get(eventId) ?? kind, kind, eventId);
    kinds.set(eventId, kind);
  }
  assert.ok(kinds.size > 500);
});

test('which events are spoiled does not depend on how they are cut into files', async (t) => {
  const events = async (batchSize: number): Promise<string[]> =>
    faultsOf(await generated(t, { events: 2000, batchSize, dirt: 'odd-text=0.05,negative=0.05,late-1h=0.05' })).map(
      ({ kind, eventId }) => `${kind} ${eventId ?? ''}`,
    );
  assert.deepEqual([...new Set(await events(2000))].sort(), [...new Set(await events(50))].sort());
});

test('the kinds come at about the rates that were asked for', async (t) => {
  const output = await generated(t, {
    events: 50_000,
    batchSize: 10_000,
    dirt: 'swapped=0.02,wrong-type=0.01,late-1h=0.05',
  });
  const count = (kind: string): number =>
    faultsOf(output).filter((fault) => fault.kind === kind && fault.outcome !== 'held').length;
  for (const [kind, rate] of [
    ['swapped', 0.02],
    ['wrong-type', 0.01],
    ['late-1h', 0.05],
  ] as const)
    assert.ok(Math.abs(count(kind) / 50_000 / rate - 1) < 0.15, `${kind}: ${count(kind)}`);
});

test('the manifest counts the different ids of each file', async (t) => {
  const output = await generated(t, {
    events: 3000,
    batchSize: 300,
    dirt: 'redelivery=0.1,burst=0.01,conflict=0.05,late-1h=0.1,negative=0.05,field-count=0.05',
  });
  for (const { file, distinctIds, rows } of filesOf(output)) {
    const ids = output.contents[output.names.indexOf(file)]!.split('\n').flatMap(
      (line) => EVENT_ID.exec(line)?.[0] ?? [],
    );
    assert.deepEqual([new Set(ids).size, ids.length], [distinctIds, rows], file);
  }
});

test('what is held back comes later, once, and nothing is left behind at the end', async (t) => {
  const output = await generated(t, { events: 3000, batchSize: 300, dirt: 'late-24h=0.1' });
  const idsOf = (outcome: string): (string | null)[] =>
    faultsOf(output)
      .filter((fault) => fault.outcome === outcome)
      .map(({ eventId }) => eventId);
  assert.deepEqual(idsOf('loaded').sort(), idsOf('held').sort());
  assert.equal(output.result.rows, 3000);
  assert.equal(output.result.files, 10);
});

test('without faults that alter text, dirt loses no event and invents none', async (t) => {
  const settings = { events: 3000, batchSize: 300 };
  const clean = rowsOf(await generated(t, settings))
    .split('\n')
    .sort();
  const dirty = new Set(
    rowsOf(await generated(t, { ...settings, dirt: 'redelivery=0.1,burst=0.01,late-1h=0.1,swapped=0.2' })).split('\n'),
  );
  assert.ok(isDeepStrictEqual([...dirty].sort(), clean));
});

test('no more users come than were asked for, and a catalogue may be one item', async (t) => {
  const output = await generated(t, { events: 5000, batchSize: 5000, users: 20, products: 1 });
  const rows = rowsOf(output)
    .trimEnd()
    .split('\n')
    .map((row) => row.split(','));
  const values = (column: EventColumn): Set<string | undefined> =>
    new Set(rows.map((fields) => fields[EVENT_COLUMNS.indexOf(column)]));
  assert.equal(values('user_id').size, 20);
  assert.deepEqual(values('product_id'), new Set(['', 'P00000000']));
});
