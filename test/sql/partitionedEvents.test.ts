import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { refreshAnalytics } from '../../src/contract/rollups.js';
import { runPrune } from '../../src/pipeline/prune/runPrune.js';
import { proveLedger } from '../../src/pipeline/verify/ledgerProof.js';
import { withConnection } from '../../src/platform/db/target.js';
import { createPipeline, type Pipeline } from '../pipeline/verify/pipeline.js';

const never = new AbortController().signal;

/** The recipe of docs/scaling.md, in one transaction; `\\gexec` is psql's: it runs what the query before it returns. */
async function partition({ database }: Pipeline): Promise<void> {
  const document = readFileSync(new URL('../../docs/scaling.md', import.meta.url), 'utf8');
  const recipe = /```sql norun: test\/sql\/partitionedEvents\.test\.ts runs it\n(.*?)```/s.exec(document)?.[1];
  assert.ok(recipe !== undefined);
  const client = await database.connect();
  try {
    const [setUp, rest] = recipe.split('\n\\gexec\n') as [string, string];
    const before = setUp.lastIndexOf('select format(');
    await client.query(setUp.slice(0, before));
    const { rows } = await client.query<{ format: string }>(setUp.slice(before));
    for (const { format } of rows) await client.query(format);
    await client.query(rest);
  } finally {
    await client.end();
  }
}

const rowsByPartition = ({ database }: Pipeline): Promise<{ partition: string; rows: number }[]> =>
  database.query(
    'select tableoid::regclass::text as partition, count(*)::int4 as rows from public.events group by 1 order by 1',
  );

test('an events table that was partitioned by the recipe is loaded, proved, summed up and pruned', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.run({ seed: 1, events: 1500, dirt: 'dirty' });
  await partition(pipeline);
  await pipeline.run({ seed: 2, events: 1500, dirt: 'dirty' });
  const parts = await rowsByPartition(pipeline);
  assert.ok(
    parts.some(({ partition }) => /^events_20\d\d_\d\d$/.test(partition)),
    JSON.stringify(parts),
  );

  const proof = await pipeline.verify();
  assert.deepEqual([proof.ok, proof.findings], [true, []]);
  assert.equal(
    proof.rowsScanned,
    parts.reduce((sum, { rows }) => sum + rows, 0),
  );
  assert.equal((await pipeline.target((to) => proveLedger(to))).ok, true);
  const refreshed = await pipeline.target((to) =>
    withConnection(to, 'cannot refresh', (connection) => refreshAnalytics(connection)),
  );
  assert.ok(refreshed > 0);

  await pipeline.database.query(
    'delete from public.events where event_id = (select event_id from public.events where batch_id is not null limit 1)',
  );
  assert.equal((await pipeline.verify()).ok, false, 'a row that is gone from a partition is missed');

  const before = new Date('2027-12-31');
  const settings = { before, events: true, archive: false, ledger: false, archiveDir: '', dryRun: false };
  const { events } = await pipeline.target((to) => runPrune(settings, to, never));
  assert.ok(
    events?.partitions.some((name) => name.startsWith('public.events_2026_')),
    JSON.stringify(events),
  );
  assert.deepEqual(await rowsByPartition(pipeline), []);
});
