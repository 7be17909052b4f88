import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { EXIT } from '../../src/platform/errors.js';
import type { VerifyResult } from '../../src/pipeline/verify/verifyEvents.js';
import type { TestDatabase } from '../../test/helpers/postgres.js';
import { startRestartableServer } from '../../test/helpers/restartableServer.js';
import { findContradictions } from '../../test/pipeline/stream/tables.js';
import { FaultMaker } from './faults.js';
import { PRUNE_OLD } from './foreignShop.js';
import { Footprints } from './footprint.js';
import type { LossCount } from './losses.js';
import { createPipeline, type Pipeline } from './pipeline.js';
import { createRandom } from './random.js';
import { describeOutcome, problemsOf, writeOutcome } from './report.js';
import { FAULT_KINDS, planFaults, type FaultKind, type PlannedFault } from './schedule.js';

/**
 * Runs the pipeline as real processes against a PostgreSQL of its own, makes faults after a schedule that the seed
 * decides, lets it come to rest, and has `verify` say whether each row is where it must be. Exit 7 when anything is off,
 * and when too few faults happened to mean anything.
 */
const { values: options } = parseArgs({
  options: {
    for: { type: 'string', default: '60s' },
    seed: { type: 'string', default: '1' },
    /** Mean time between faults in milliseconds. */
    gap: { type: 'string', default: '900' },
    /** Another build of ecompipe, such as one with a defect that must be found. */
    executable: { type: 'string', default: fileURLToPath(new URL('../../bin/ecompipe.js', import.meta.url)) },
    /** Also writes the result into docs/guarantees.md. */
    write: { type: 'boolean', default: false },
  },
});

const DOCUMENT = fileURLToPath(new URL('../../docs/guarantees.md', import.meta.url));
/** Loading what is left may take as long as the faults did, and on a busy machine some more. */
const DRAIN_MINIMUM_MS = 300_000;

/** Before Node has started a program, a signal ends it without asking. */
const EARS_MS = 5000;

const forMs = parseDuration(options.for);
const seed = Number(options.seed);
const random = createRandom(seed);
const faults = planFaults(random.fork(), forMs, Number(options.gap));
const troubles: string[] = [];
const onTrouble = (message: string): void => {
  troubles.push(message);
  console.error(`✗ ${message}`);
};

const home = mkdtempSync(path.join(tmpdir(), 'ecompipe-torture-'));
const server = await startRestartableServer();
const database = await server.createDatabase();
const losses: LossCount = { made: 0 };
const pipeline = createPipeline(home, options.executable, database.env, random, () => losses.made, onTrouble);
console.error(`torture for ${forMs / 1000} s, seed ${seed}: ${faults.length} faults planned; everything in ${home}`);

await run('migrate');
for (const actor of pipeline.actors) actor.start();
const footprints = new Footprints(pipeline.actors);
const maker = new FaultMaker(pipeline, server, database, losses, run, (error) =>
  onTrouble(`a fault could not be made: ${String(error)}`),
);
await makeFaults(faults);
await maker.settled();
const drainedInSeconds = await drain(pipeline);
const growth = footprints.growth();
// What was loaded since the last time, and the ledger of it: an hour in which no loss can be noticed begins with this.
await run('prune', ...PRUNE_OLD, '--yes');
await run('prune', '--ledger', '--older-than', '0h', '--yes');
const proof = parseProof(await run('verify', '--json'));
const outcome = {
  forSeconds: forMs / 1000,
  seed,
  planned: countKinds(faults),
  made: maker.made,
  starts: pipeline.actors.reduce((sum, { starts }) => sum + starts, 0),
  batches: await countBatches(database),
  growth,
  drainedInSeconds,
  proof,
  foreign: await pipeline.foreign.prove(database),
  troubles: [
    ...troubles,
    ...(await findContradictions(database)).map(
      (found) => `the ledger contradicts itself: ${JSON.stringify(found).slice(0, 500)}`,
    ),
  ],
};

console.log(describeOutcome(outcome));
const problems = problemsOf(outcome);
for (const problem of problems) console.error(`✗ ${problem}`);
if (problems.length === 0) {
  if (options.write) writeOutcome(DOCUMENT, describeOutcome(outcome));
  rmSync(home, { recursive: true, force: true });
} else {
  console.error(`logs and files are kept in ${home}`);
  process.exitCode = EXIT.checkFailed;
}
await Promise.all(pipeline.actors.map((actor) => actor.kill()));
await server.remove();

async function makeFaults(planned: readonly PlannedFault[]): Promise<void> {
  const startMs = performance.now();
  const untilMs = async (ms: number): Promise<void> => {
    await delay(Math.max(0, startMs + ms - performance.now()));
  };
  for (const fault of planned) {
    await untilMs(fault.atMs);
    if (troubles.length > 0) return;
    maker.make(fault);
  }
  await untilMs(forMs);
}

/** Ends the generators, waits until the directories are empty, and ends the rest. @returns seconds, unless it took too long. */
async function drain({ actors, foreign, waiting }: Pipeline): Promise<number | undefined> {
  const startMs = performance.now();
  const end = async (isWanted: (role: string) => boolean): Promise<void> => {
    await Promise.all(
      actors
        .filter(({ options: { role }, state }) => isWanted(role) && state === 'running')
        .map(async (actor) => {
          await delay(Math.max(0, actor.startedMs + EARS_MS - performance.now()));
          const code = await actor.terminate();
          // It would have been started again: its predecessor's connection lives a moment longer than itself.
          // And one that loads nothing hears of a loss only now.
          const isExpected = code === EXIT.owned || (code === EXIT.integrity && losses.made > 0);
          if (code !== undefined && code !== EXIT.done && !isExpected)
            onTrouble(`${actor.options.name} was asked to end and ended with ${code ?? 'a signal'}`);
        }),
    );
  };
  foreign.stop();
  await end((role) => role === 'generator');
  const deadlineMs = startMs + Math.max(DRAIN_MINIMUM_MS, forMs);
  while (waiting() > 0 && performance.now() < deadlineMs && troubles.length === 0) await delay(100);
  const isDrained = waiting() === 0;
  const seconds = (performance.now() - startMs) / 1000;
  await end((role) => role !== 'generator');
  return isDrained ? seconds : undefined;
}

/** Runs a command to its end; its output whatever its exit code, as a failed verify has one too. */
async function run(...args: string[]): Promise<string> {
  return await new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [options.executable, ...args],
      { cwd: home, env: { PATH: process.env['PATH'], HOME: home, ...pipeline.env }, maxBuffer: 2 ** 27 },
      (error, stdout, stderr) => {
        if (error !== null && error.code !== EXIT.checkFailed)
          reject(new Error(`${args.join(' ')}: ${stderr}`, { cause: error }));
        else resolve(stdout);
      },
    );
  });
}

function parseProof(stdout: string): VerifyResult | undefined {
  return stdout === '' ? undefined : (JSON.parse(stdout) as VerifyResult);
}

async function countBatches(from: TestDatabase): Promise<number> {
  const [row] = await from.query<{ batches: number }>('select count(*)::int4 as batches from ecompipe.batches');
  return row?.batches ?? 0;
}

function countKinds(planned: readonly PlannedFault[]): Record<FaultKind, number> {
  return Object.fromEntries(
    FAULT_KINDS.map((kind) => [kind, planned.filter((fault) => fault.kind === kind).length]),
  ) as Record<FaultKind, number>;
}

/** `90s`, `10m`, `1h`, in milliseconds. */
function parseDuration(raw: string): number {
  const [, amount, unit] = /^(\d+)(s|m|h)$/.exec(raw) ?? [];
  if (amount === undefined) throw new Error(`--for ${raw}: expected a number with s, m or h`);
  return Number(amount) * (unit === 'h' ? 3_600_000 : unit === 'm' ? 60_000 : 1000);
}
