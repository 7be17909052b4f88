import { printable as escaped } from '../../../platform/printable.js';
import { countOf, formatCount } from '../../../platform/format.js';
import { clipTo, fitPrefix, padTo, textWidth } from '../../../platform/textWidth.js';
import type { Trial, TriedRecord } from './tryFile.js';

/** On one line, and safe for a terminal. */
function printable(text: string): string {
  return escaped(text.replaceAll(/\r?\n/g, '⏎'));
}

/** What became of a file in a trial, for people, on lines of at most so many columns. */
export function describeTrial(trial: Trial, width: number): string {
  const { file, feed, table, records, skipped, rows } = trial;
  const made = feed === undefined ? 'no feed: its columns are those of the table' : `feed ${feed}`;
  const counts = [
    countOf(records, 'record'),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    `${countOf(rows.read, 'row')}: ${formatCount(rows.inserted)} new`,
    `${rows.duplicate} duplicate`,
    `${rows.rejected} rejected`,
  ];
  return [
    ...wrap(`${printable(file)}: ${made}, into ${table}`, '', width),
    ...wrap(`${counts.join(', ')}; nothing was loaded`, '', width),
    ...sections(trial, width),
  ].join('\n');
}

function sections({ first, reasons, feed }: Trial, width: number): string[] {
  const parts: string[] = [];
  if (first.length > 0) {
    if (feed !== undefined)
      parts.push('', 'Records as the file has them', ...grid(first, ({ before }) => before, width));
    parts.push('', 'Rows that become of them', ...grid(first, ({ after }) => after, width));
  }
  if (reasons.length > 0) parts.push('', 'Rejected');
  for (const { rows, column, sqlState, message, line, record } of reasons)
    parts.push(
      ...wrap(
        `${rows} × ${column === null || message.startsWith(column) ? '' : `${column}: `}${message} (SQLSTATE ${sqlState})`,
        '  ',
        width,
      ),
      clipTo(`      line ${line}: ${printable(record)}`, width),
    );
  return parts;
}

type Values = Readonly<Record<string, string | null>>;

/** A line for each name that any of the records has a value of, a column for each record. */
function grid(
  records: readonly TriedRecord[],
  valuesOf: (record: TriedRecord) => Values | undefined,
  width: number,
): string[] {
  const names = [
    ...new Set(
      records.flatMap((record) =>
        Object.entries(valuesOf(record) ?? {}).flatMap(([name, value]) => (value === null ? [] : [name])),
      ),
    ),
  ];
  const nameWidth = Math.min(
    Math.max(4, ...names.map((name) => textWidth(printable(name)))),
    Math.max(4, Math.floor(width / 3)),
  );
  const cellWidth = Math.max(6, Math.floor((width - 2 - nameWidth) / records.length) - 2);
  const row = (name: string, cells: readonly string[]): string =>
    `  ${[padTo(clipTo(name, nameWidth), nameWidth), ...cells.map((cell) => padTo(clipTo(cell, cellWidth), cellWidth))].join('  ')}`.trimEnd();
  return [
    row(
      '',
      records.map(({ line }) => `line ${line}`),
    ),
    ...(names.length === 0
      ? [
          row(
            '',
            records.map(() => '(no row)'),
          ),
        ]
      : []),
    ...names.map((name, index) =>
      row(
        printable(name),
        records.map((record) => {
          const values = valuesOf(record);
          if (values === undefined) return index === 0 ? '(no row)' : '';
          return printable(values[name] ?? '');
        }),
      ),
    ),
  ];
}

/** Lines of at most so many columns; a word that is longer, such as a path, goes on in the next line. */
function wrap(text: string, indent: string, width: number): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of printable(text).split(' ')) {
    if (line.trim() !== '' && textWidth(line) + textWidth(word) + 1 > width) {
      lines.push(line);
      line = `${indent}  `;
    }
    line += line.trim() === '' ? word : ` ${word}`;
    while (textWidth(line) > width) {
      const fitting = fitPrefix(line, width);
      lines.push(fitting);
      line = `${indent}  ${line.slice(fitting.length)}`;
    }
  }
  return [...lines, line];
}
