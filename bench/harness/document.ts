import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { verdict } from './print.js';
import type { Answer, Question } from './question.js';

const DOCUMENT = 'docs/performance_metrics.md';

const PREAMBLE = `# Performance

Written by \`npm run bench\` (one section for each question, replaced by each run; nothing here is written by hand).
Ours and its rivals are measured in the same run, in rounds with changing order; medians. Absolute numbers are this
machine's, ratios travel better. The server is the embedded one with the settings that every user gets, durable.
`;

export interface Conditions {
  readonly machine: string;
  readonly scale: number;
  readonly runs: number;
}

/** Puts an answer into the document, in the place of the question's last one. */
export function publish(question: Question, answer: Answer, conditions: Conditions): void {
  const current = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : PREAMBLE;
  const [start, end] = [`<!-- bench:${question.name} -->`, `<!-- /bench:${question.name} -->`];
  const section = `${start}\n${sectionText(question, answer, conditions)}\n${end}`;
  const [from, to] = [current.indexOf(start), current.indexOf(end)];
  const text = from === -1 || to === -1 ? `${current.trimEnd()}\n\n${section}\n` : `${current.slice(0, from)}${section}${current.slice(to + end.length)}`;
  mkdirSync(path.dirname(DOCUMENT), { recursive: true });
  writeFileSync(DOCUMENT, text);
}

function sectionText({ name, title }: Question, { settings, header, rows, goals }: Answer, { machine, scale, runs }: Conditions): string {
  const size = scale === 1 ? '' : `, sizes × ${scale}`;
  return [
    `## ${title}`,
    `${new Date().toISOString().slice(0, 10)}, \`npm run bench -- ${name}\`, medians of ${runs} ${runs === 1 ? 'run' : 'runs'}${size}; ${machine}.`,
    settings.map((line) => `- ${line}`).join('\n'),
    markdownTable(header, rows),
    markdownTable(['goal', 'measured', ''], goals.map((goal) => [goal.wanted, goal.measured, goal.met === false ? '**missed**' : verdict(goal)])),
  ].join('\n\n');
}

function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
