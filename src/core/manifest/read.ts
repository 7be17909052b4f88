import { createReadStream, existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { withFileErrors } from '../runtime/errors.js';
import type { FaultLine, FileLine, ManifestLine, RunLine } from './format.js';


/** What a reader of manifests gets to see, in the order of writing. Faults come before the file that holds them. */
export interface ManifestVisitor {
  readonly run?: (run: RunLine) => void;
  readonly fault?: (fault: FaultLine) => void;
  readonly file: (file: FileLine, run: RunLine) => void;
}

/**
 * Reads the manifests of a directory and reports what was published, by the rules of {@link ManifestLine}: the last
 * file of a killed run counts only if its bytes are no longer staged. Memory holds one line at a time. Faults of a file
 * that was never finished are reported too; no file follows that they name.
 *
 * @param outputDir where the staged files are; by default where the manifest says.
 * @throws FileError when the directory can't be read.
 */
export async function readManifests(directory: string, visitor: ManifestVisitor, outputDir?: string): Promise<void> {
  const names = await withFileErrors('read the manifest directory', directory, async () => readdir(directory));
  for (const name of names.filter((entry) => entry.endsWith('.jsonl')).sort()) {
    await withFileErrors('read the manifest', path.join(directory, name), async () => readOne(path.join(directory, name), visitor, outputDir));
  }
}

async function readOne(manifest: string, visitor: ManifestVisitor, outputDir: string | undefined): Promise<void> {
  let run: RunLine | undefined;
  // A file counts as soon as another line follows it: that line was written after it had been published.
  let last: FileLine | undefined;
  for await (const text of createInterface({ input: createReadStream(manifest), crlfDelay: Infinity })) {
    const line = parseLine(text);
    if (line === undefined) break;
    if (last !== undefined && run !== undefined && line.line !== 'withdrawn') visitor.file(last, run);
    last = undefined;
    if (line.line === 'run') {
      run = line;
      visitor.run?.(line);
    } else if (line.line === 'fault') {
      visitor.fault?.(line);
    } else if (line.line === 'file') {
      last = line;
    }
  }
  if (last === undefined || run === undefined) return;
  if (!existsSync(path.join(outputDir ?? run.outputDir, last.staged))) visitor.file(last, run);
}

/** Undefined for a line that was never finished. */
function parseLine(text: string): ManifestLine | undefined {
  try {
    return JSON.parse(text) as ManifestLine;
  } catch {
    return undefined;
  }
}
