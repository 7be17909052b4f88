import type { BenchDatabase } from './database.js';
import type { Progress } from './progress.js';
import type { Workspace } from './workspace.js';

/** What a question has at hand. */
export interface Bench {
  readonly database: BenchDatabase;
  readonly workspace: Workspace;
  /** Multiplies all sizes; 1 is what the goals are about. */
  readonly scale: number;
  /** Rounds, each of which runs every contender once. */
  readonly runs: number;
  readonly progress: Progress;
  /** Aborts at Ctrl-C. */
  readonly stop: AbortSignal;
}

/** One question about speed, answered by measuring ours against rivals in the same run. */
export interface Question {
  readonly name: string;
  readonly title: string;
  /** Asked only when it is named: it installs hundreds of megabytes first. Default false. */
  readonly onlyByName?: boolean;
  readonly run: (bench: Bench) => Promise<Answer>;
}

export interface Answer {
  /** How it was measured: sizes, settings, versions; one line each. */
  readonly settings: readonly string[];
  /** Where the time goes, as a profile shows it; told where a goal is missed. */
  readonly profile?: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly goals: readonly Goal[];
}

export interface Goal {
  readonly wanted: string;
  readonly measured: string;
  /** Undefined: could not be judged (a rival is missing). */
  readonly met: boolean | undefined;
}

/** A goal that something is at least, or at most, so much. */
export function goal(
  what: string,
  measured: number | undefined,
  relation: '>=' | '<=',
  limit: number,
  unit: string,
): Goal {
  const sign = relation === '>=' ? '≥' : '≤';
  const wanted = `${what} ${sign} ${limit.toLocaleString('en')} ${unit}`;
  if (measured === undefined || Number.isNaN(measured)) return { wanted, measured: 'not measured', met: undefined };
  const shown = measured >= 100 ? Math.round(measured).toLocaleString('en') : measured.toPrecision(3);
  return { wanted, measured: `${shown} ${unit}`, met: relation === '>=' ? measured >= limit : measured <= limit };
}

/** A size at the bench's scale, at least `least`. */
export function scaled(bench: Pick<Bench, 'scale'>, size: number, least = 1): number {
  return Math.max(least, Math.round(size * bench.scale));
}
