import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** All documents, by their path in the repository. */
export const DOCUMENTS: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(path.join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** A fenced block of a document. */
export interface Block {
  readonly language: string;
  /** Behind `file=`: the source file that the block makes or changes. */
  readonly file: string | undefined;
  /** Behind `norun`: why no test runs it, such as that it does not end by itself. */
  readonly norun: string | undefined;
  /** Behind `provoked=`: what brings the program to say this. */
  readonly provokedBy: string | undefined;
  /** Behind `source=`: the file that has this message, where nothing provokes it. */
  readonly source: string | undefined;
  readonly text: string;
  /** Where it begins, for messages. */
  readonly place: string;
}

export function readDocument(document: string): string {
  return readFileSync(path.join(ROOT, document), 'utf8');
}

/** All blocks of a document, in their order. */
export function documentBlocks(document: string): Block[] {
  const text = readDocument(document);
  return [...text.matchAll(/^```(\w+)(.*)\n([\s\S]*?)^```$/gm)].map(
    ({ index, 1: language = '', 2: info = '', 3: content = '' }) => ({
      language,
      file: /file=(\S+)/.exec(info)?.[1],
      norun: / norun(?::(.*))?$/.exec(info)?.[1]?.trim() ?? (/ norun$/.test(info) ? '' : undefined),
      provokedBy: /provoked=(\S+)/.exec(info)?.[1],
      source: /source=(\S+)/.exec(info)?.[1],
      text: content,
      place: `${document}:${text.slice(0, index).split('\n').length}`,
    }),
  );
}
