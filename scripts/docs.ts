// Writes what the program says of itself into the documents: `npm run docs`. With --check it only compares, and fails
// when a document is out of date: the lint step of CI runs that.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { commands } from '../src/commands/index.js';
import { databaseSettings, globalSettings } from '../src/commands/settings.js';
import { comparison, headline } from './figures.js';
import { DIRT_KINDS } from '../src/pipeline/generate/faults/kinds.js';
import { PROFILES } from '../src/pipeline/generate/profile.js';
import type { Setting, SettingTable } from '../src/platform/settings.js';

const check = process.argv.includes('--check');
const stale: string[] = [];

const metrics = readFileSync('docs/performance_metrics.md', 'utf8');
publish('README.md', withMark(filledIn('README.md', 'figures', comparison(metrics)), 'headline', headline(metrics)));
publish('docs/reference.md', filledIn('docs/reference.md', 'help', helpTexts()));
publish('docs/user_guide.md', filledIn('docs/user_guide.md', 'tables', guideTables()));
publish('.env.example', environmentExample());
publish('docs/log_events.md', logEvents());

if (stale.length > 0) {
  console.error(`out of date: ${stale.join(', ')}; run \`npm run docs\` and commit`);
  process.exitCode = 1;
}

function publish(file: string, text: string): void {
  const current = readIfThere(file);
  if (current === text) return;
  if (check) stale.push(file);
  else writeFileSync(file, text);
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** The text of `file` with `content` between `<!-- mark -->` and `<!-- /mark -->`. */
function filledIn(file: string, mark: string, content: string): string {
  return withMark(readFileSync(file, 'utf8'), mark, content);
}

function withMark(text: string, mark: string, content: string): string {
  const [before, , after] = text.split(new RegExp(`(?<=<!-- ${mark} -->\\n)([\\s\\S]*?)(?=<!-- /${mark} -->)`));
  if (before === undefined || after === undefined) throw new Error(`a document has no place for ${mark}`);
  return `${before}${content}\n${after}`;
}

/** Every event that the sources log, by name: the names are what scripts may rely on. */
function logEvents(): string {
  const found = new Map<string, { levels: Set<string>; says: Set<string> }>();
  for (const file of readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))) {
    // A level may also be chosen: (isFirst ? log.warn : log.debug)('name', …) or log[…]('name', …).
    for (const [, chosen, name, quote, message] of readFileSync(`src/${file}`, 'utf8').matchAll(
      /\b(log\.(?:debug|info|warn|error)|log\.\w+ : (?:settings\.)?log\.\w+\)|log\[[^\]]+\])\(\s*'([a-z][a-z_]+)',\s*(?:([`'])((?:\\.|(?!\3).)*)\3)?/g,
    )) {
      const entry = found.get(name ?? '') ?? { levels: new Set(), says: new Set() };
      for (const [level] of (chosen ?? '').matchAll(/debug|info|warn|error/g)) entry.levels.add(level);
      if (quote !== undefined) entry.says.add(outline(message ?? ''));
      found.set(name ?? '', entry);
    }
  }
  const rows = [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { levels, says }]) => `| \`${name}\` | ${[...levels].join(', ')} | ${[...says].join('; ')} |`);
  return `# Log events\n\nWith \`--log-format json\` each line on stderr is an object with \`time\`, \`level\`, \`event\`, \`message\` and the facts of the event. The names below are\nstable; messages are for people and may change. Written from the sources by \`npm run docs\`.\n\n| event | level | says |\n|---|---|---|\n${rows.join('\n')}\n`;
}

/** A message without what differs from one time to the next, and without what would end a cell of the table. */
function outline(template: string): string {
  let text = template;
  for (let before = ''; before !== text;) {
    before = text;
    text = text.replaceAll(/\$\{[^{}]*\}/g, '…');
  }
  const [first = ''] = text.split('\\n');
  // A template in a template ends the message too early.
  if (first.includes('${')) throw new Error(`a piece of code is in the message ${JSON.stringify(first)}`);
  return first.replaceAll('|', '\\|').replaceAll('\\', '').trim();
}

function guideTables(): string {
  const profiles = Object.values(PROFILES).map(({ name, summary }) => `| \`${name}\` | ${summary} |`);
  const kinds = Object.entries(DIRT_KINDS).map(
    ([name, { unit, rate, outcome, what }]) =>
      `| \`${name}\` | ${unit} | ${Number((rate * 100).toPrecision(3))} % | ${outcome} | ${what} |`,
  );
  return [
    '',
    '| profile | is |',
    '|---|---|',
    ...profiles,
    '',
    '| fault | falls on a | under `dirty` | becomes | is |',
    '|---|---|---|---|---|',
    ...kinds,
    '',
  ].join('\n');
}

function helpTexts(): string {
  const names = [[], ...commands.map(({ name }) => [name])];
  return names
    .map((name) => `\n### ecompipe ${[...name, '--help'].join(' ')}` + `\n\n\`\`\`text\n${help(name)}\n\`\`\`\n`)
    .join('\n');
}

function help(name: readonly string[]): string {
  // A fixed width, so that the text does not depend on the terminal that made it.
  const { stdout, status } = spawnSync(process.execPath, ['bin/ecompipe.js', ...name, '--help'], {
    encoding: 'utf8',
    env: { ...process.env, COLUMNS: '110', NO_COLOR: '1' },
  });
  if (status !== 0) throw new Error(`ecompipe ${name.join(' ')} --help failed; built?`);
  return stdout.trimEnd();
}

function environmentExample(): string {
  const sections: [title: string, table: SettingTable][] = [
    ['The database. Without any of these, the embedded server is used.', databaseSettings],
    ['For all commands', globalSettings],
    ...commands.map(({ name, settings }): [string, SettingTable] => [`ecompipe ${name}`, settings]),
  ];
  const seen = new Set<string>();
  const text = sections.map(([title, table]) => {
    const fresh = Object.values(table).filter(({ env }) => !seen.has(env) && seen.add(env));
    return fresh.length === 0 ? '' : `# ${title}\n\n${fresh.map(variable).join('\n')}`;
  });
  return `# Every setting, with its default. Copy to .env and remove the # where you want something else.\n# A flag wins over an environment variable, that over .env, that over the default.\n\n${text.filter(Boolean).join('\n')}`;
}

function variable({ env, help: text, default: value, defaultText, flag }: Setting<unknown>): string {
  const shown =
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? (defaultText ?? String(value))
      : (defaultText ?? '');
  const assignable = /\s/.test(shown) ? '' : shown;
  return `# ${text}${flag === undefined ? '' : ` (${flag})`}${assignable === shown || shown === '' ? '' : `; default: ${shown}`}\n#${env}=${assignable}\n`;
}
