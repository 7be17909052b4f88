/** Rows of a Markdown table by the names of its columns. */
type Row = Readonly<Record<string, string>>;

/**
 * What README.md says of speed, out of the document that the benches write: each section that compares ways of doing the
 * same, and the latency.
 * @throws when the document has no such section, as its format has changed.
 */
export function comparison(metrics: string): string {
  const sections = [...metrics.matchAll(/<!-- bench:\w+ -->\n## (.+)\n([\s\S]*?)<!-- \/bench:/g)].map(
    ([, title = '', body = '']) => ({ title, tables: tablesOf(body) }),
  );
  const rows = sections.flatMap(({ title, tables }) => {
    const compared =
      tables.find(([row]) => row !== undefined && 'way' in row && 'median' in row && 'ours is' in row) ?? [];
    return compared.map(
      (row, index) =>
        `| ${index === 0 ? `[${title}](docs/performance_metrics.md#${anchorOf(title)})` : ''} | ${row['way']} | ${row['median']} | ${row['ours is']} |`,
    );
  });
  const latencies = sections.flatMap(({ tables }) => tables.flat()).filter((row) => 'situation' in row && 'p50' in row);
  if (rows.length === 0 || latencies.length === 0)
    throw new Error('docs/performance_metrics.md has no table of ways and medians, or none of latencies');
  const latency = latencies.map(({ situation, p50, p99 }) => `${situation}: p50 ${p50}, p99 ${p99}`).join('; ');
  return [
    '',
    '| question | way | median | ours is |',
    '|---|---|---|---|',
    ...rows,
    '',
    `Latency, from the rename of a small file into processing/ until its rows are visible: ${latency}.`,
    '',
  ].join('\n');
}

/**
 * The three figures on README.md's first screen, out of the same document.
 * @throws when one of them is not there.
 */
export function headline(metrics: string): string {
  const figure = (what: string, pattern: RegExp): string => {
    const found = pattern.exec(metrics)?.[1];
    if (found === undefined) throw new Error(`docs/performance_metrics.md does not say ${what}`);
    return found;
  };
  const psql = figure(
    'how fast psql is beside ours',
    /<!-- bench:bulk -->[^]*?`psql \\copy`, whole process \|[^\n]*\| ([\d.]+ ×) \|/,
  );
  const latency = figure('the median latency', /\| nothing else to do \| ([\d.]+ ms) \|/);
  const pgloader = figure('how fast pgloader is beside ours', /\| ([\d.]+) × pgloader \|/);
  return [
    '',
    '| times as fast as `psql \\copy` | from file to visible row, median | times as fast as pgloader |',
    '|---|---|---|',
    `| **${psql}** | **${latency}** | **${pgloader} ×** |`,
    '',
  ].join('\n');
}

function tablesOf(text: string): Row[][] {
  const blocks = text.split('\n\n').map((block) =>
    block
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map(cellsOf),
  );
  return blocks
    .filter(({ length }) => length > 2)
    .map(([header = [], , ...rows]) =>
      rows.map((cells) => Object.fromEntries(header.map((name, index) => [name, cells[index] ?? '']))),
    );
}

function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** As GitHub makes it of a heading. */
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-');
}
