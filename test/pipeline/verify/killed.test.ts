import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GENERATE_FAILPOINTS } from '../../../src/platform/failpoint.js';
import { spawnEcompipe } from '../../helpers/executable.js';
import { createPipeline } from './pipeline.js';

const FILES = 6;
const RUN = [
  'generate',
  '--interval',
  '0',
  '--batches',
  String(FILES),
  '--batch-size',
  '100',
  '--dirt',
  'dirty',
  '--seed',
  '7',
  '--start',
  '2026-03-01',
];

describe('a generator killed with SIGKILL', { concurrency: 2 }, () => {
  for (const moment of Object.keys(GENERATE_FAILPOINTS)) {
    for (const pass of [1, 3, FILES]) {
      test(`at ${moment} the ${pass}. time leaves a manifest that verify can prove, and so does the same run done again`, async (t) => {
        const pipeline = await createPipeline(t);
        const generate = [...RUN, '--output-dir', pipeline.incoming];
        const killed = await spawnEcompipe(t, generate, { ECOMPIPE_FAILPOINT: `${moment}:${pass}=kill` }, pipeline.home)
          .end;
        assert.equal(killed.signal, 'SIGKILL', killed.stderr);
        await pipeline.move();
        await pipeline.stream();
        const proof = await pipeline.verify();
        assert.deepEqual(
          [proof.ok, proof.findings, proof.files],
          [true, [], moment === 'after-publish' ? pass : pass - 1],
        );
        // The same seed: the same bytes, of which some are loaded already.
        assert.equal((await spawnEcompipe(t, generate, {}, pipeline.home).end).exitCode, 0);
        await pipeline.move();
        await pipeline.stream();
        const again = await pipeline.verify();
        assert.deepEqual([again.ok, again.findings, again.files], [true, [], FILES]);
      });
    }
  }
});

for (const [what, seeds] of [
  ['with the same seed', [7, 7]],
  ['with seeds of their own', [7, 8]],
] as const) {
  test(`two generators at once on one directory, ${what}, end well, and verify can prove all they made`, async (t) => {
    const pipeline = await createPipeline(t);
    const generate = [
      'generate',
      '--interval',
      '0',
      '--batches',
      '40',
      '--batch-size',
      '200',
      '--dirt',
      'dirty',
      '--start',
      '2026-03-01',
      '--output-dir',
      pipeline.incoming,
    ];
    const ends = await Promise.all(
      seeds.map((seed) => spawnEcompipe(t, [...generate, '--seed', String(seed)], {}, pipeline.home).end),
    );
    assert.deepEqual(
      ends.map(({ exitCode, stderr }) => (exitCode === 0 ? 0 : stderr)),
      [0, 0],
    );
    await pipeline.move();
    await pipeline.stream();
    const proof = await pipeline.verify();
    assert.deepEqual([proof.ok, proof.findings, proof.runs], [true, [], 2]);
  });
}
