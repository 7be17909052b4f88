import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeStream, type LeftBehind } from '../../../src/pipeline/stream/describeStream.js';

const RESULT = {
  filesLoaded: 1,
  filesRedelivered: 0,
  filesQuarantined: 0,
  batches: 2,
  rows: { read: 1000, inserted: 1000, duplicate: 0, rejected: 0 },
};
const LEFT: LeftBehind = {
  inputFiles: 2,
  inputBytes: 187_654_321,
  bytesPerRow: 170,
  inputDir: 'in',
  incomingFiles: 0,
  incomingDir: 'new',
  leftAlone: { entries: 0, first: [] },
};

const said = (left: Partial<LeftBehind>): string =>
  describeStream(RESULT, 500, { ...LEFT, ...left }).split('\n')[1] ?? '';

test('what an interrupted load leaves is told in files and about as many rows', () => {
  assert.equal(said({}), '  2 files wait in in (about 1,100,000 rows): the next run loads what is left');
  assert.equal(
    said({ inputFiles: 1, inputBytes: 170 }),
    '  1 file waits in in (about 1 row): the next run loads what is left',
  );
});

test('without rows to go by it is told in bytes, and compressed files only in files', () => {
  assert.equal(said({ bytesPerRow: undefined }), '  2 files wait in in (188 MB): the next run loads what is left');
  assert.equal(said({ inputBytes: undefined }), '  2 files wait in in: the next run loads what is left');
  assert.equal(said({ inputFiles: 0 }), '');
});
