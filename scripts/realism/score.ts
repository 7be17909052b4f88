import type { Client } from 'pg';
import { INVARIANTS, type Invariant } from './invariants.js';
import { PREPARE, SCORECARD, type Statistic } from './scorecard.js';

export interface Scored extends Statistic {
  /** NaN when the data has nothing to compute it from. */
  readonly value: number;
  readonly passed: boolean;
}

/** Computes every statistic of the `events` that the client's search path finds. */
export async function score(client: Client): Promise<Scored[]> {
  await client.query('discard temp');
  await client.query(PREPARE);
  const scored: Scored[] = [];
  for (const statistic of SCORECARD) {
    const { rows } = await client.query<[number | string | null]>({ text: statistic.sql, rowMode: 'array' });
    const raw = rows[0]?.[0] ?? null;
    const value = raw === null ? Number.NaN : Number(raw);
    scored.push({ ...statistic, value, passed: isWithin(value, statistic) });
  }
  return scored;
}

function isWithin(value: number, { pass, except }: Statistic): boolean {
  const inside = (band: readonly [number, number]): boolean => value >= band[0] && value <= band[1];
  return inside(pass) && !(except !== undefined && inside(except));
}

/** Numbers of the scorecard's rows that failed: a row passes when all its statistics do. */
export function failedRows(scored: readonly Scored[]): number[] {
  return [...new Set(scored.filter(({ passed }) => !passed).map(({ row }) => row))];
}

export const ROW_COUNT = new Set(SCORECARD.map(({ row }) => row)).size;

export interface Violation {
  readonly invariant: Invariant;
  readonly count: number;
  readonly example: string | null;
}

/** Looks for rows that break a rule which must always hold. */
export async function violations(client: Client): Promise<Violation[]> {
  const found: Violation[] = [];
  for (const invariant of INVARIANTS) {
    const { rows } = await client.query<{ count: string; example: string | null }>(
      `select count(*), min(example) as example from (${invariant.sql}) as broken (example)`,
    );
    const { count, example } = rows[0]!;
    if (Number(count) > 0) found.push({ invariant, count: Number(count), example });
  }
  return found;
}

/** A table for people: value beside target, pass band and source. */
export function describeScore(scored: readonly Scored[]): string {
  const lines = scored.map(({ row, name, value, target, pass, passed, source }) =>
    [
      passed ? ' ' : '✗',
      String(row).padStart(2),
      name.padEnd(38),
      number(value).padStart(9),
      number(target).padStart(7),
      `${number(pass[0])}–${number(pass[1])}`.padEnd(12),
      source,
    ].join('  '),
  );
  const head = [
    '  ',
    '#',
    'statistic'.padEnd(38),
    'value'.padStart(9),
    'target'.padStart(7),
    'pass'.padEnd(12),
    'source',
  ].join('  ');
  return [head, ...lines].join('\n');
}

function number(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toFixed(3)));
}
