import assert from 'node:assert/strict';
import test from 'node:test';
import { createRunId, generatedFileName, isLoadableName, isUnfinishedName } from '../../src/contract/fileNames.js';

test('generated names are loadable and finished', () => {
  for (const sequence of [0, 1, 999_999_999, 1_000_000_000]) {
    const name = generatedFileName(createRunId(new Date()), sequence);
    assert.ok(isLoadableName(name) && !isUnfinishedName(name), name);
  }
});

test('generated names sort by start time, then by sequence', () => {
  const earlier = createRunId(new Date('2026-01-31T23:59:59.999Z'));
  const later = createRunId(new Date('2026-02-01T00:00:00.000Z'));
  const names = [generatedFileName(earlier, 2), generatedFileName(earlier, 10), generatedFileName(later, 0)];
  assert.deepEqual([...names].reverse().sort(), names);
});

test('two runs that start in one millisecond get different names', () => {
  const now = new Date();
  assert.notEqual(createRunId(now), createRunId(now));
});

test('loadable are .csv and .csv.gz in any case, and nothing hidden', () => {
  for (const name of ['a.csv', 'A.CSV', 'a.csv.gz', 'a.Csv.GZ', 'a\nb.csv', '日本.csv'])
    assert.equal(isLoadableName(name), true, name);
  for (const name of ['.a.csv', 'a.csv~', 'a.csv.tmp', 'a.gz', 'acsv', 'a.csv.zip'])
    assert.equal(isLoadableName(name), false, name);
});

test('names of files that are being written are unfinished', () => {
  for (const name of ['.x', 'a.tmp', 'a.csv.part', 'a.CRDOWNLOAD', 'a.csv~'])
    assert.equal(isUnfinishedName(name), true, name);
  assert.equal(isUnfinishedName('template.csv'), false);
});
