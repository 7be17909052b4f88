import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A fenced block of docs/user_guide.md. */
export interface Block {
  readonly language: string;
  /** Behind `file=`: the source file that the block makes or changes. */
  readonly file: string | undefined;
  /** Not for running: it does not end by itself, or needs what a test has not. */
  readonly norun: boolean;
  readonly text: string;
  /** Where it begins, for messages. */
  readonly place: string;
}

/** All blocks of the guide, in their order. */
export function guideBlocks(): Block[] {
  const guide = readFileSync(path.join(ROOT, 'docs/user_guide.md'), 'utf8');
  return [...guide.matchAll(/^```(\w+)(.*)\n([\s\S]*?)^```$/gm)].map(({ index, 1: language = '', 2: info = '', 3: text = '' }) => ({
    language,
    file: /file=(\S+)/.exec(info)?.[1],
    norun: info.split(' ').includes('norun'),
    text,
    place: `docs/user_guide.md:${guide.slice(0, index).split('\n').length}`,
  }));
}

/** Does to the sources in `directory` what a recipe's block says. @throws when the guide does not fit the sources. */
export function applyBlock(directory: string, { language, file, text, place }: Block & { readonly file: string }): void {
  if (language === 'sql') {
    const migrations = readdirSync(path.join(directory, 'sql')).filter((name) => /^\d{3}_/.test(name));
    const number = String(migrations.length + 1).padStart(3, '0');
    writeFileSync(path.join(directory, file.replace('NNN', number)), text, { flag: 'wx' });
    return;
  }
  const lines = text.split('\n').slice(0, -1);
  const linesOf = (marks: string): string => lines.filter((line) => marks.includes(line.charAt(0))).map((line) => `${line.slice(1)}\n`).join('');
  const source = readFileSync(path.join(directory, file), 'utf8');
  const [before, after, ...more] = source.split(linesOf(' -'));
  if (before === undefined || after === undefined || more.length > 0) throw new Error(`${place}: ${file} must have these lines once:\n${linesOf(' -')}`);
  writeFileSync(path.join(directory, file), before + linesOf(' +') + after);
}
