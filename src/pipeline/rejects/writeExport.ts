import { existsSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { moveWithoutOverwrite, temporaryPath } from '../../platform/files/publish.js';
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
  const temporary = temporaryPath(file);
  return await withFileErrors('write', file, async () => {
    const target = await open(temporary, 'wx', 0o600);
    let rows = 0;
    try {
      for await (const piece of pieces) {
        if (stop.aborted)
          throw new InterruptedError({ what: 'the export was interrupted', outcome: 'no file was written' });
        await target.writeFile(piece.text);
        rows += piece.rows;
      }
      await target.sync();
    } catch (error) {
      await target.close();
      await rm(temporary, { force: true });
      throw error;
    }
    await target.close();
    if (await moveWithoutOverwrite(temporary, file)) return rows;
    await rm(temporary, { force: true });
    throw alreadyThere(file);
  });
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
