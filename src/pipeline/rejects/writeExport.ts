import { existsSync } from 'node:fs';
import { createFile } from '../../platform/files/atomicWrite.js';
import { InterruptedError, UsageError, withFileErrors } from '../../platform/errors.js';
import { countOf } from '../../platform/format.js';

/** Pieces of text with the rows in each. */
type Pieces = AsyncIterable<{ readonly text: string; readonly rows: number }>;

/**
 * Writes pieces to a new file, which appears whole or not at all.
 * @returns how many rows it has.
 * @throws UsageError when there is such a file: it may hold somebody's corrections.
 */
export async function writeNewFile(file: string, pieces: Pieces, stop: AbortSignal): Promise<number> {
  if (existsSync(file)) throw alreadyThere(file);
  let rows = 0;
  const texts = async function* (): AsyncGenerator<string> {
    for await (const piece of pieces) {
      if (stop.aborted)
        throw new InterruptedError({ what: 'the export was interrupted', outcome: 'no file was written' });
      yield piece.text;
      rows += piece.rows;
    }
  };
  const isNew = await withFileErrors('write', file, () => createFile(file, texts(), { mode: 0o600 }));
  if (!isNew) throw alreadyThere(file);
  return rows;
}

function alreadyThere(file: string): UsageError {
  return new UsageError(
    [`${file} is there already, and may hold corrections: it was not overwritten`],
    'name another file, or move that one away',
  );
}

/** Hands pieces to `write`, in order. @returns how many rows they had. */
export async function writePieces(
  pieces: Pieces,
  write: (text: string) => Promise<void>,
  stop: AbortSignal,
): Promise<number> {
  let rows = 0;
  for await (const piece of pieces) {
    if (stop.aborted)
      throw new InterruptedError({
        what: 'the export was interrupted',
        outcome: `${countOf(rows, 'row was', 'rows were')} written`,
      });
    await write(piece.text);
    rows += piece.rows;
  }
  return rows;
}
