import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { verdict } from './print.js';
import type { Answer, Question } from './question.js';

const DOCUMENT = 'docs/performance_metrics.md';

const PREAMBLE = `# Performance

Written by \`npm run bench\`: one section for each question, replaced by each run; nothing here is written by hand.
Ours and its rivals are measured in the same run, in rounds of changing order; medians. Absolute numbers are one
machine's, ratios travel better. The server is the embedded one with the settings that every user gets: durable.`;

const GOALS_HEADER = ['goal', 'measured', ''] as const;

export interface Conditions {
  readonly machine: string;
  readonly scale: number;
  readonly runs: number;
}

/** Puts a section into the document, in the place of the question's last one. */
export function publish(name: string, section: string, order: readonly string[]): void {
  const current = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : '';
  mkdirSync(path.dirname(DOCUMENT), { recursive: true });
  writeFileSync(DOCUMENT, withSection(current, name, section, order));
}

/** The document with this section, all sections in `order`, and on top the goals of all of them. */
export function withSection(document: string, name: string, section: string, order: readonly string[]): string {
  const sections = new Map(
    [...document.matchAll(/<!-- bench:(\w+) -->\n([\s\S]*?)\n<!-- \/bench:\1 -->/g)].map(([, key, text]) => [
      key!,
      text!,
    ]),
  );
  sections.set(name, section);
  const known = order.flatMap((key) => (sections.has(key) ? [{ key, text: sections.get(key)! }] : []));
  const goals = known.flatMap(({ key, text }) => goalRows(text).map((row) => `| [${key}](#${anchorOf(text)}) ${row}`));
  const summary = [...markdownTable(['question', ...GOALS_HEADER], []).split('\n'), ...goals].join('\n');
  return `${[PREAMBLE, summary, ...known.map(({ key, text }) => `<!-- bench:${key} -->\n${text}\n<!-- /bench:${key} -->`)].join('\n\n')}\n`;
}

export function sectionText(
  { name, title }: Question,
  { settings, header, rows, goals, profile }: Answer,
  { machine, scale, runs }: Conditions,
): string {
  const size = scale === 1 ? '' : `, sizes × ${scale}`;
  return [
    `## ${title}`,
    `${new Date().toISOString().slice(0, 10)}, \`npm run bench -- ${name}\`, ${runs} ${runs === 1 ? 'round' : 'rounds'}${size}; ${machine}.`,
    settings.map((line) => `- ${line}`).join('\n'),
    markdownTable(header, rows),
    ...(profile !== undefined && goals.some(({ met }) => met === false) ? [`What limits it: ${profile}`] : []),
    markdownTable(
      GOALS_HEADER,
      goals.map((goal) => [goal.wanted, goal.measured, goal.met === false ? '**missed**' : verdict(goal)]),
    ),
  ].join('\n\n');
}

/** A section ends with its goals. */
function goalRows(section: string): string[] {
  const table = section.slice(section.lastIndexOf(markdownTable(GOALS_HEADER, [])));
  return table.split('\n').slice(2);
}

/** GitHub's id of the section's heading. */
function anchorOf(section: string): string {
  const [, title = ''] = /^## (.*)/.exec(section) ?? [];
  return title
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
