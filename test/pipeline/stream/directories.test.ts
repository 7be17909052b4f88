import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { StreamSettings } from '../../../src/pipeline/stream/streamEvents.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import { load, openShop, type Shop } from './harness.js';

/** Directories that are one, by whatever path; the second of each pair is the setting that is changed. */
const PAIRS: Readonly<Record<string, (shop: Shop) => Partial<StreamSettings>>> = {
  'quarantine is the input directory': ({ settings }) => ({ quarantineDir: settings.inputDir }),
  'the archive is the input directory by another spelling': ({ settings }) => ({
    archiveDir: path.join(settings.inputDir, '..', path.basename(settings.inputDir)),
  }),
  'the archive is a link to the input directory': ({ settings, home }) => {
    symlinkSync(settings.inputDir, path.join(home, 'archive'));
    return {};
  },
  'quarantine is a link to the archive': ({ settings, home }) => {
    mkdirSync(settings.archiveDir);
    symlinkSync(settings.archiveDir, path.join(home, 'quarantine'));
    return {};
  },
};

for (const [what, change] of Object.entries(PAIRS)) {
  test(`a stream does not start when ${what}, and every file stays`, async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t);
    const overrides = change(shop);
    shop.put('junk.csv', 'junk');
    await assert.rejects(load(shop, database, overrides), (error: Error & { exitCode?: number }) => {
      assert.equal(error.exitCode, 2);
      assert.match(error.message, /are the same directory/);
      return true;
    });
    assert.deepEqual(readdirSync(shop.settings.inputDir), ['junk.csv']);
  });
}
