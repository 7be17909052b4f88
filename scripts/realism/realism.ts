import { createReadStream, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import type { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { EVENT_COLUMNS } from '../../src/contract/columns.js';
import { EXIT } from '../../src/platform/errors.js';
import { silentLogger } from '../../src/platform/log.js';
import { runGenerate } from '../../src/pipeline/generate/runGenerate.js';
import { PROFILES } from '../../src/pipeline/generate/profile.js';
import { startTestServer } from '../../test/helpers/postgres.js';
import { createShuffledControl, createUniformControl } from './controls.js';
import { describeScore, failedRows, ROW_COUNT, score, violations } from './score.js';

/**
 * Generates four weeks of events, loads them into PostgreSQL, and prints the scorecard: value beside target, pass band
 * and source. Exit 7 when a row fails or a rule is broken. With --controls also scores data that must fail.
 */
const { values: options } = parseArgs({
  options: {
    sessions: { type: 'string', default: '55000' },
    seed: { type: 'string', default: '1' },
    profile: { type: 'string', default: 'default' },
    controls: { type: 'boolean', default: false },
  },
});

/** A Monday, so that all weekdays occur alike. */
const START = '2026-10-05';
const MAX_FOR_UNIFORM = 4;
const MUST_FAIL_WHEN_SHUFFLED = [3, 4, 5, 6, 7, 8, 9, 10];

const problems: string[] = [];
const server = await startTestServer();
const database = await server.createDatabase();
const client = await database.connect();
await client.query(readFileSync(new URL('../../sql/001_events.sql', import.meta.url), 'utf8'));
await loadEvents(client);
const { rows } = await client.query<{ sessions: string; events: string; days: string }>(
  'select count(distinct session_id) as sessions, count(*) as events, round(extract(epoch from max(event_time) - min(event_time)) / 86400, 1) as days from events',
);
console.log(`${rows[0]!.events} events, ${rows[0]!.sessions} sessions, ${rows[0]!.days} days\n`);

const scored = await score(client);
console.log(describeScore(scored));
const failed = failedRows(scored);
console.log(`\n${ROW_COUNT - failed.length} of ${ROW_COUNT} rows pass`);
if (failed.length > 0) problems.push(`rows ${failed.join(', ')} fail`);
const broken = await violations(client);
for (const { invariant, count, example } of broken)
  problems.push(`broken ${count} times: ${invariant.rule} (${example ?? ''})`);
if (broken.length === 0) console.log('all rules that must always hold do');

if (options.controls) await runControls(client);
for (const problem of problems) console.error(`✗ ${problem}`);
await database.drop();
await server.stop();
process.exitCode = problems.length > 0 ? EXIT.checkFailed : EXIT.done;

async function loadEvents(target: Client): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-realism-'));
  try {
    const never = new AbortController().signal;
    const events = Math.round(Number(options.sessions) * (PROFILES[options.profile]?.eventsPerSession ?? 1));
    await runGenerate(
      {
        outputDir: directory,
        intervalSeconds: 0,
        events,
        batchSize: 1_000_000,
        seed: Number(options.seed),
        start: START,
        profile: options.profile,
      },
      { stop: never, drain: never, log: silentLogger, emit: () => undefined },
    );
    for (const name of readdirSync(directory).filter((entry) => entry.endsWith('.csv'))) {
      await pipeline(
        createReadStream(path.join(directory, name)),
        target.query(copyFrom(`copy events (${EVENT_COLUMNS.join(', ')}) from stdin (format csv, header)`)),
      );
    }
    await target.query('analyze events');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runControls(target: Client): Promise<void> {
  await createUniformControl(target, 500_000);
  const uniform = await scoreControl(target, 'uniform choices');
  if (ROW_COUNT - uniform.length > MAX_FOR_UNIFORM)
    problems.push(`uniform choices pass ${ROW_COUNT - uniform.length} rows, at most ${MAX_FOR_UNIFORM} expected`);
  await createShuffledControl(target);
  const shuffled = await scoreControl(target, 'shuffled session ids');
  const survivors = MUST_FAIL_WHEN_SHUFFLED.filter((row) => !shuffled.includes(row));
  if (survivors.length > 0) problems.push(`with shuffled session ids rows ${survivors.join(', ')} still pass`);
}

async function scoreControl(target: Client, name: string): Promise<number[]> {
  await target.query('set search_path = control, public');
  const scored = await score(target);
  await target.query('reset search_path');
  const failed = failedRows(scored);
  console.log(`\ncontrol: ${name}\n${describeScore(scored)}\n${ROW_COUNT - failed.length} of ${ROW_COUNT} rows pass`);
  return failed;
}
