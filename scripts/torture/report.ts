import { readFileSync, writeFileSync } from 'node:fs';
import type { VerifyResult } from '../../src/pipeline/verify/verifyEvents.js';
import type { ForeignProof } from './foreignShop.js';
import { GROWTH_LIMIT, type Growth } from './footprint.js';
import { FAULTS, FAULT_KINDS, type FaultKind } from './schedule.js';

export interface Outcome {
  readonly forSeconds: number;
  readonly seed: number;
  readonly planned: Readonly<Record<FaultKind, number>>;
  readonly made: Readonly<Record<FaultKind, number>>;
  readonly starts: number;
  readonly batches: number;
  readonly growth: readonly Growth[];
  /** How long it took to load what was left when the faults ended; undefined: it never was. */
  readonly drainedInSeconds: number | undefined;
  readonly proof: VerifyResult | undefined;
  readonly foreign: ForeignProof;
  /** Processes that ended by themselves, contradictions in the ledger, and so on. */
  readonly troubles: readonly string[];
}

/** Fewer rows than this prove little about the faults that fell on them. */
const FEWEST_ROWS_PER_SECOND = 50;

/** What makes the run a failure; nothing when all is well. */
export function problemsOf({
  planned,
  made,
  growth,
  proof,
  foreign,
  troubles,
  forSeconds,
  drainedInSeconds,
}: Outcome): string[] {
  const problems = [...troubles];
  // It was broken off, and the rest says nothing.
  if (problems.length > 0) return problems;
  for (const kind of FAULT_KINDS) {
    if (made[kind] === 0 || made[kind] < planned[kind] / 2)
      problems.push(`too few faults to mean anything: ${FAULTS[kind]}: ${made[kind]} of ${planned[kind]}`);
  }
  for (const { role, samples, rssMiB, descriptors } of growth) {
    if (samples < 6) problems.push(`the ${role} was looked at too seldom to say whether it grows`);
    if (rssMiB[1] - rssMiB[0] > GROWTH_LIMIT.rssMiB)
      problems.push(`the ${role} grew from ${rssMiB[0]} to ${rssMiB[1]} MiB`);
    if (descriptors[1] - descriptors[0] > GROWTH_LIMIT.descriptors)
      problems.push(`the ${role} grew from ${descriptors[0]} to ${descriptors[1]} open files`);
  }
  if (drainedInSeconds === undefined) problems.push('not everything was loaded after the faults had ended');
  problems.push(...foreign.problems.slice(0, 10));
  if (foreign.rows < forSeconds * FEWEST_ROWS_PER_SECOND) problems.push(`only ${foreign.rows} rows by the feed`);
  if (proof === undefined) problems.push('verify came to no result');
  else {
    if (!proof.ok)
      problems.push(
        `verify: ${JSON.stringify(proof.counts)}, pending ${proof.pendingFiles}\n${proof.findings
          .slice(0, 10)
          .map((finding) => `    ${JSON.stringify(finding)}`)
          .join('\n')}`,
      );
    if (proof.rows < forSeconds * FEWEST_ROWS_PER_SECOND) problems.push(`only ${proof.rows} rows were loaded`);
  }
  return problems;
}

/** The run as a section of Markdown, which reads as well on a terminal. */
export function describeOutcome({
  forSeconds,
  seed,
  made,
  starts,
  batches,
  growth,
  drainedInSeconds,
  proof,
  foreign,
}: Outcome): string {
  const total = FAULT_KINDS.reduce((sum, kind) => sum + made[kind], 0);
  const number = (value: number): string => value.toLocaleString('en-US');
  return [
    `\`npm run torture -- --for ${forSeconds}s --seed ${seed}\`: ${number(total)} faults, ${number(starts)} process starts, ${number(batches)} batches committed.`,
    ...(proof === undefined
      ? []
      : [
          `${number(proof.rows)} rows, ${number(proof.duplicates)} duplicates and ${number(proof.rejects)} rejects of ${number(proof.files)} files (${number(proof.quarantined)} of them unreadable) from ${number(proof.runs)} runs of the generator: lost ${proof.counts.lost} · duplicated ${proof.counts.duplicated} · corrupted ${proof.counts.corrupted}.`,
        ]),
    `By a staged feed with \`repeats: distinct\` ${number(foreign.rows)} rows, ${number(foreign.rejected)} rejects and ${number(foreign.skipped)} skipped records of ${number(foreign.files)} files, ${number(foreign.pruned)} of the rows old and pruned${foreign.problems.length === 0 ? ': each as it must be' : ''}.`,
    ...(drainedInSeconds === undefined
      ? []
      : [`What was left when the faults ended was loaded ${Math.ceil(drainedInSeconds)} s later.`]),
    '',
    '| fault | times |',
    '|---|---|',
    ...FAULT_KINDS.map((kind) => `| ${FAULTS[kind]} | ${made[kind]} |`),
    '',
    '| a process that was never killed | memory, first → last third | open files |',
    '|---|---|---|',
    ...growth.map(
      ({ role, rssMiB, descriptors }) => `| ${role} | ${rssMiB.join(' → ')} MiB | ${descriptors.join(' → ')} |`,
    ),
    '',
  ].join('\n');
}

/** Puts the section between the marks of a document. */
export function writeOutcome(file: string, section: string): void {
  const [before, , after] = readFileSync(file, 'utf8').split(/(?<=<!-- torture -->\n)([\s\S]*?)(?=<!-- \/torture -->)/);
  if (before === undefined || after === undefined) throw new Error(`${file} has no place for the result`);
  writeFileSync(file, `${before}\n${section}\n${after}`);
}
