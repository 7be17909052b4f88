import type { Answer, Goal, Question } from './question.js';

/** One question's measurements, as soon as they are there. */
export function printAnswer({ name, title }: Question, { header, rows }: Answer): void {
  console.log(`\n${name}: ${title}\n${textTable([header, ...rows])}`);
}

/** The table at the end: every goal, and whether it was met. */
export function printVerdicts(answers: readonly (readonly [Question, Answer])[]): void {
  const rows = answers.flatMap(([{ name }, { goals }]) =>
    goals.map((goal) => [name, goal.wanted, goal.measured, verdict(goal)]),
  );
  console.log(`\n${textTable([['question', 'goal', 'measured', ''], ...rows])}`);
}

export function verdict({ met }: Goal): string {
  return met === undefined ? 'not judged' : met ? 'met' : 'MISSED';
}

function textTable(rows: readonly (readonly string[])[]): string {
  const plain = rows.map((row) => row.map((cell) => cell.replaceAll('`', '')));
  const widths = (plain[0] ?? []).map((_, column) => Math.max(...plain.map((row) => row[column]?.length ?? 0)));
  return plain
    .map(
      (row) =>
        `  ${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}`,
    )
    .join('\n');
}
