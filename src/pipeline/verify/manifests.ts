import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { MANIFEST_VERSION, type ManifestLine, type RunLine } from '../../contract/manifest/format.js';
import { asFileError, UsageError, withFileErrors } from '../../platform/errors.js';

/** A line of a manifest and the run it belongs to. */
export interface ManifestEntry {
  readonly run: RunLine;
  /** Counts the manifests from 0. */
  readonly manifest: number;
  readonly line: ManifestLine;
}

/**
 * Reads every manifest of a directory, or the one that is named, line by line, in the order of the runs' names.
 * @throws FileError when it can't be read, UsageError when there is none or one is not ours.
 */
export async function* readManifests(directory: string): AsyncGenerator<ManifestEntry> {
  if (directory.endsWith('.jsonl')) {
    yield* readManifest(directory, 0);
    return;
  }
  const names = (await withFileErrors('read the manifests in', directory, () => readdir(directory)))
    .filter((name) => name.endsWith('.jsonl'))
    .sort();
  if (names.length === 0)
    throw new UsageError(
      [`${directory} has no manifest (*.jsonl)`],
      'name the directory that generate reported, with --manifest',
    );
  for (const [manifest, name] of names.entries()) yield* readManifest(path.join(directory, name), manifest);
}

async function* readManifest(file: string, manifest: number): AsyncGenerator<ManifestEntry> {
  let run: RunLine | undefined;
  let number = 0;
  for await (const text of completeLines(file)) {
    number++;
    const line = parseLine(text, file, number);
    if (line.line === 'run') run = line;
    if (run === undefined) throw foreign(file, 'its first line does not describe a run');
    const version: unknown = run.manifestVersion;
    if (version !== MANIFEST_VERSION)
      throw foreign(file, `it has version ${JSON.stringify(version)}, this ecompipe reads ${MANIFEST_VERSION}`);
    yield { run, manifest, line };
  }
}

const LINE_KINDS: ReadonlySet<unknown> = new Set([
  'run',
  'fault',
  'file',
  'withdrawn',
  'end',
] satisfies ManifestLine['line'][]);

function parseLine(text: string, file: string, number: number): ManifestLine {
  try {
    const value = JSON.parse(text) as Partial<ManifestLine> | null;
    if (LINE_KINDS.has(value?.line)) return value as ManifestLine;
  } catch {
    // No JSON: as wrong as JSON of another shape.
  }
  throw foreign(file, `line ${number} does not belong to a manifest`);
}

/** A last line without its newline was never finished: what it speaks of did not happen. */
async function* completeLines(file: string): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of createReadStream(file, 'utf8') as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    throw asFileError(error, 'read the manifest', file);
  }
}

function foreign(file: string, why: string): UsageError {
  return new UsageError([`${file} is not a manifest: ${why}`], 'restore the file, or move it out of the directory');
}
