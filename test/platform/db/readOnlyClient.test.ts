import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadOnlyClient } from '../../../src/platform/db/readOnlyClient.js';
import { migratedDatabase, onDatabase } from '../../helpers/migrated.js';
import { until } from '../../helpers/until.js';

test(
  'a look that waits for a lock is given up by the server too: no session is left behind by it',
  { timeout: 120_000 },
  async (t) => {
    const database = await migratedDatabase();
    const blocker = await database.connect();
    t.after(() => blocker.end());
    await blocker.query('begin');
    await blocker.query('lock table ecompipe.batches in access exclusive mode');
    await onDatabase(database, {}, async (target) => {
      const observer = new ReadOnlyClient(target);
      await assert.rejects(
        observer.run('cannot look', (ask) => ask({}, 'select from ecompipe.batches')),
        { exitCode: 69 },
      );
      await until('no session waits any more', async () => {
        const waiting = await database.query('select from pg_locks where not granted');
        const sessions = await database.query(
          `select from pg_stat_activity where datname = current_database() and application_name = 'ecompipe'`,
        );
        return waiting.length + sessions.length === 0;
      });
      await observer.close();
    });
  },
);
