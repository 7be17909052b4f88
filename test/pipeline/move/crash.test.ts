import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { createRunId, generatedFileName } from '../../../src/contract/fileNames.js';
import { MOVE_FAILPOINTS } from '../../../src/platform/failpoint.js';
import { contents, directoryElsewhere, noSecondFileSystem } from '../../platform/files/directories.js';
import { spawnEcompipe } from '../../helpers/executable.js';
import { moveOnce, moveSettings, put } from './harness.js';

type Moment = keyof typeof MOVE_FAILPOINTS;

const ACROSS_ONLY: ReadonlySet<Moment> = new Set<Moment>(['move-copying', 'move-copied', 'move-published']);
const generated = generatedFileName(createRunId(new Date()), 0);
const FILES = { 'a.csv': 'one', [generated]: 'two', 'z.csv': 'three' };
/** What stands in the target before, under a name that one of them has. */
const STANDING = { 'a.csv': 'another' };
const MOVED = { 'a.1.csv': 'one', 'a.csv': 'another', [generated]: 'two', 'z.csv': 'three' };

for (const [where, isAcross] of [
  ['one file system', false],
  ['two file systems', true],
] as const) {
  describe(`a mover on ${where}, killed with SIGKILL`, { concurrency: 2, skip: isAcross && noSecondFileSystem }, () => {
    for (const moment of (Object.keys(MOVE_FAILPOINTS) as Moment[]).filter(
      (name) => isAcross || !ACROSS_ONLY.has(name),
    )) {
      for (const pass of [1, 2, 3]) {
        test(`at ${moment} the ${pass}. time: each file is whole in one place at least, and once in the end`, async (t) => {
          const settings = moveSettings(t, { settleMs: 0, ...(isAcross ? { to: directoryElsewhere(t) } : {}) });
          mkdirSync(settings.to, { recursive: true });
          put(settings.to, STANDING);
          put(settings.from, FILES);
          const killed = await spawnEcompipe(
            t,
            ['move', '--once', '--settle', '0', '--from', settings.from, '--to', settings.to],
            { ECOMPIPE_FAILPOINT: `${moment}:${pass}=kill` },
            settings.from,
          ).end;
          assert.equal(killed.signal, 'SIGKILL', killed.stderr);
          const visible = Object.entries(contents(settings.to))
            .filter(([name]) => !name.startsWith('.'))
            .map(([, content]) => content);
          const left = Object.values(contents(settings.from));
          assert.deepEqual(
            new Set([...left, ...visible]),
            new Set([...Object.values(FILES), ...Object.values(STANDING)]),
            'nothing is lost, nothing is half',
          );
          await moveOnce(t, settings);
          assert.deepEqual(
            [contents(settings.from), contents(settings.to)],
            [{}, Object.fromEntries(Object.entries(MOVED).sort(([a], [b]) => (a < b ? -1 : 1)))],
          );
        });
      }
    }
  });
}
