import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findServerFiles } from '../../../src/platform/db/embedded/binaries.js';
import { NEWEST_KNOWN, serverVersionOf, versionAdvice } from '../../../src/platform/db/embedded/releases.js';

test('the installed server is of a major version whose newest minor release is known, and not older than that', async () => {
  const installed = serverVersionOf((await findServerFiles()).version);
  assert.ok(NEWEST_KNOWN[installed.split('.')[0]!] !== undefined, installed);
  assert.deepEqual(versionAdvice({ data: '18', installed, running: undefined }), []);
});

test('what is to be done follows from the versions', () => {
  const advise = (data?: string, installed?: string, running?: string): string =>
    versionAdvice({ data, installed, running }).join('; ');
  assert.equal(advise('18', '18.4', '18.4'), '');
  assert.equal(advise(), '');
  assert.match(advise('18', '18.3'), /18\.4 has fixes that 18\.3 lacks: update ecompipe/);
  assert.match(advise('18', '18.10'), /^$/);
  assert.match(advise('18', '18.4', '18.3'), /18\.3 still runs: after ecompipe db stop/);
  assert.match(advise('17', '18.4'), /PostgreSQL 17's, which 18\.4 can't open: .*db restore FILE/);
});
