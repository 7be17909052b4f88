import { mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildOf } from './harness/otherBuild.js';
import { withBenchDatabase } from './harness/database.js';
import { publish, sectionText } from './harness/document.js';
import { describeMachine } from './harness/machine.js';
import { Progress } from './harness/progress.js';
import type { Answer, Bench, Question } from './harness/question.js';
import { printAnswer, printVerdicts } from './harness/print.js';
import { Workspace } from './harness/workspace.js';
import { installRivals } from './contenders/install.js';
import { against } from './questions/against.js';
import { questions } from './questions/index.js';

const USAGE = `npm run bench [-- [question …] [options]]

questions: ${questions.map(({ name }) => name).join(' ')} (default: all but years, which fills a database for minutes, and spark and staging, which install Spark into .spark/ first)
  --scale N          multiply all sizes (default 1, which the goals are about)
  --runs N           rounds that medians are taken over (default 5)
  --database URL     a server to measure instead of the embedded one; a database ecompipe_bench is made there and dropped
  --against REVISION measure this build beside that of another git revision instead; nothing is written
  --install-rivals   put pgloader, timescaledb-parallel-copy and dlt into bench/.cache first
  --write            write docs/performance_metrics.md also when scaled, or with fewer than 5 runs
`;

const CACHE = path.join(path.dirname(fileURLToPath(import.meta.url)), '.cache');
const FULL_RUNS = 5;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      scale: { type: 'string', default: '1' },
      runs: { type: 'string', default: String(FULL_RUNS) },
      database: { type: 'string' },
      against: { type: 'string' },
      'install-rivals': { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const asked = choose(positionals);
  const [scale, runs] = [positive('--scale', values.scale), Math.ceil(positive('--runs', values.runs))];
  const stop = stopOnSignal();
  mkdirSync(CACHE, { recursive: true });
  const chosen = values.against === undefined ? asked : [against(buildOf(values.against, CACHE))];
  if (values['install-rivals']) await installRivals(CACHE);
  const progress = new Progress();
  const workspace = new Workspace(CACHE, stop);
  const answers: [Question, Answer][] = [];
  await withBenchDatabase(values.database, CACHE, stop, async (database) => {
    for (const question of chosen) {
      const machine = describeMachine(database.serverVersion);
      warnWhenBusy();
      progress.start(question.name);
      const answer = await ask(question, { database, workspace, scale, runs, progress, stop });
      progress.clear();
      if (answer === undefined) continue;
      answers.push([question, answer]);
      printAnswer(question, answer);
      if (values.against === undefined && (values.write || (scale === 1 && runs >= FULL_RUNS)))
        publish(
          question.name,
          sectionText(question, answer, { machine, scale, runs }),
          questions.map(({ name }) => name),
        );
    }
  }).finally(() => {
    workspace.clear();
    progress.clear();
  });
  printVerdicts(answers);
}

/** A question that fails costs the exit code, not the answers of the others. */
async function ask(question: Question, bench: Bench): Promise<Answer | undefined> {
  try {
    return await question.run(bench);
  } catch (error) {
    bench.stop.throwIfAborted();
    bench.progress.clear();
    console.error(`${question.name} failed:`, error);
    process.exitCode = 1;
    return undefined;
  }
}

function warnWhenBusy(): void {
  const [load = 0] = os.loadavg();
  if (load > os.availableParallelism() * 0.75)
    console.error(`the machine is busy (load average ${load.toFixed(1)}): times and even ratios are not to be trusted`);
}

function choose(names: readonly string[]): readonly Question[] {
  const unknown = names.filter((name) => !questions.some((question) => question.name === name));
  if (unknown.length > 0) throw new TypeError(`unknown question ${unknown.join(', ')}\n\n${USAGE}`);
  return names.length === 0
    ? questions.filter(({ onlyByName }) => onlyByName !== true)
    : questions.filter(({ name }) => names.includes(name));
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new TypeError(`${name} ${text}: expected a number above 0`);
  return value;
}

/** Ctrl-C ends what is being measured, then the server. There is no way to leave sooner: it would leave the server running. */
function stopOnSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => controller.abort(new Error(`stopped by ${signal}`)));
  return controller.signal;
}

try {
  await main();
} catch (error) {
  console.error(
    error instanceof TypeError || (error instanceof Error && error.message.startsWith('stopped'))
      ? error.message
      : error,
  );
  process.exitCode = 1;
}
