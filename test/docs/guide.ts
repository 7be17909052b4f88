import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { documentBlocks, type Block } from './markdown.js';

export { ROOT, type Block } from './markdown.js';

/** All blocks of the user guide, in their order. */
export function guideBlocks(): Block[] {
  return documentBlocks('docs/user_guide.md');
}

/** Does to the sources in `directory` what a recipe's block says. @throws when the guide does not fit the sources. */
export function applyBlock(
  directory: string,
  { language, file, text, place }: Block & { readonly file: string },
): void {
  if (language === 'sql') {
    const migrations = readdirSync(path.join(directory, 'sql')).filter((name) => /^\d{3}_/.test(name));
    const number = String(migrations.length + 1).padStart(3, '0');
    writeFileSync(path.join(directory, file.replace('NNN', number)), text, { flag: 'wx' });
    return;
  }
  const lines = text.split('\n').slice(0, -1);
  const linesOf = (marks: string): string =>
    lines
      .filter((line) => marks.includes(line.charAt(0)))
      .map((line) => `${line.slice(1)}\n`)
      .join('');
  const source = readFileSync(path.join(directory, file), 'utf8');
  const [before, after, ...more] = source.split(linesOf(' -'));
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(`${place}: ${file} must have these lines once:\n${linesOf(' -')}`);
  writeFileSync(path.join(directory, file), before + linesOf(' +') + after);
}
