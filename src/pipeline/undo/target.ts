import { isSameContent } from '../../contract/content.js';
import type { Connection } from '../../platform/db/client.js';
import { UsageError } from '../../platform/errors.js';
import type { UndoSettings } from './types.js';
import { printableLine, shellQuote } from '../../platform/printable.js';
import { countOf } from '../../platform/format.js';
import { bytea, integer, nullable, queryRows, type Shape, text, timestamp } from '../../platform/db/decodeRows.js';

export interface TargetFile {
  readonly fileId: number;
  readonly name: string;
  readonly sha256: Buffer;
  readonly state: string;
  readonly committedOffset: number;
  readonly rowsInserted: number;
}

const TARGET_FILE: Shape<TargetFile> = {
  fileId: integer,
  name: text,
  sha256: bytea,
  state: text,
  committedOffset: integer,
  rowsInserted: integer,
};

/** What an undo takes out: whole files, or the rows of a replay; or since when it is out already. */
export type UndoTarget =
  | { readonly kind: 'files'; readonly label: string; readonly files: readonly TargetFile[] }
  | { readonly kind: 'replay'; readonly label: string; readonly batchId: number }
  | { readonly kind: 'already-undone'; readonly label: string };

const FILE_COLUMNS = 'f.file_id, f.name, f.sha256, f.state, f.committed_offset, f.rows_inserted';

/**
 * Finds what is meant, and locks it against whoever loads it. @throws UsageError when nothing or several things are meant,
 * or only a part of a file is.
 */
export async function findTarget(connection: Connection, { file, batchId }: UndoSettings): Promise<UndoTarget> {
  if (file !== undefined) return await findFile(connection, file);
  if (batchId === undefined) throw new UsageError(['undo: expected a file or the number of a batch']);
  return await findBatch(connection, batchId);
}

const SHA256 = /^[0-9a-f]{64}$/i;

/** Those that are still there once nobody else can take them out or load more of them. */
async function lockFiles(client: Connection['client'], fileIds: readonly number[]): Promise<TargetFile[]> {
  await client.query('select from ecompipe.file_entries where file_id = any ($1) order by file_id for update', [
    fileIds,
  ]);
  const rows = await queryRows(
    client,
    TARGET_FILE,
    `select ${FILE_COLUMNS} from ecompipe.files f where f.file_id = any ($1) order by f.file_id`,
    [fileIds],
  );
  return rows;
}

async function findFile({ client }: Connection, file: string): Promise<UndoTarget> {
  const found = await queryRows(
    client,
    { fileId: integer },
    SHA256.test(file)
      ? `select file_id from ecompipe.file_entries
         where ${isSameContent('sha256', "decode($1, 'hex')")} or name = $1`
      : 'select file_id from ecompipe.file_entries where name = $1',
    [file],
  );
  const files = await lockFiles(
    client,
    found.map(({ fileId }) => fileId),
  );
  const [first] = files;
  if (first === undefined) {
    const rows = await queryRows(
      client,
      { at: timestamp },
      `select undone_at as at from ecompipe.undone_files where name = $1 or encode(sha256, 'hex') = lower($1) order by undone_id desc limit 1`,
      [file],
    );
    if (rows[0] === undefined)
      throw new UsageError(
        [`no file ${JSON.stringify(file)} was ever loaded into this database`],
        'name it as the ledger does: select name from ecompipe.files',
      );
    return { kind: 'already-undone', label: `${file} (${rows[0].at.toISOString()})` };
  }
  if (files.length > 1) {
    throw new UsageError(
      [
        `${countOf(files.length, 'file')} with the name ${printableLine(file)} were loaded: ${files.map(({ sha256, rowsInserted }) => `${sha256.toString('hex')} (${countOf(rowsInserted, 'event')})`).join(', ')}`,
      ],
      'name the one that is meant by its SHA-256',
    );
  }
  if (first.state === 'pruned')
    throw new UsageError([
      `nothing of ${printableLine(first.name)} is left to take out: ecompipe prune removed it for its age`,
    ]);
  if (first.state === 'quarantined' && first.committedOffset === 0)
    throw new UsageError(
      [`nothing of ${printableLine(first.name)} was loaded: it is in quarantine`],
      'correct it and put it back into processing/; its bytes are then another file',
    );
  return { kind: 'files', label: first.name, files };
}

async function findBatch({ client }: Connection, batchId: number): Promise<UndoTarget> {
  const label = `batch ${batchId}`;
  const batches = await queryRows(
    client,
    { loadPath: text, undoneAt: nullable(timestamp) },
    'select load_path, undone_at from ecompipe.batches where batch_id = $1 for update',
    [batchId],
  );
  const [batch] = batches;
  if (batch === undefined)
    throw new UsageError(
      [`there is no ${label} in this database`],
      'select batch_id, committed_at, rows_inserted from ecompipe.batches order by 1 desc',
    );
  if (batch.undoneAt !== null) return { kind: 'already-undone', label: `${label} (${batch.undoneAt.toISOString()})` };
  if (batch.loadPath === 'replay') return { kind: 'replay', label, batchId };
  const found = await queryRows(
    client,
    { fileId: integer, otherBatches: integer },
    `select r.file_id, (select count(*) from ecompipe.range_entries o where o.file_id = r.file_id and o.batch_id <> $1) as other_batches
     from ecompipe.batch_ranges r
     where r.batch_id = $1
     order by r.file_id`,
    [batchId],
  );
  const files = await lockFiles(
    client,
    found.map(({ fileId }) => fileId),
  );
  const others = found.find(({ otherBatches }) => otherBatches > 0);
  const partial = files.find(({ fileId }) => fileId === others?.fileId);
  // A hole in a file is nothing that the ledger could say, or a stream could fill.
  if (partial !== undefined && others !== undefined)
    throw new UsageError(
      [
        `${label} is a part of ${printableLine(partial.name)}, which has ${countOf(others.otherBatches + 1, 'batch', 'batches')}: a file can only be taken out whole`,
      ],
      `ecompipe undo --file ${shellQuote(partial.name)}`,
    );
  return { kind: 'files', label, files };
}
