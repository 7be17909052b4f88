import { isSameContent } from '../../contract/content.js';
import type { Connection } from '../../platform/db/client.js';
import type { VerifySettings } from './verifyEvents.js';
import type { Findings } from './findings.js';
import { locate } from '../../platform/files/dayFolders.js';
import { countOf } from '../../platform/format.js';
import {
  boolean,
  bytea,
  integer,
  nullable,
  queryRow,
  queryRows,
  type Shape,
  text,
} from '../../platform/db/decodeRows.js';

export interface VerifiedFileTotals {
  readonly pendingFiles: number;
  readonly pendingRows: number;
  /** Contents that lie among the loaded files while the ledger does not know them. */
  readonly unknown: readonly UnknownFile[];
}

export interface UnknownFile {
  readonly fileNo: number;
  readonly name: string;
  readonly path: string;
  readonly rows: number;
}

interface Unloaded {
  readonly fileNo: number;
  readonly name: string;
  readonly outputDir: string;
  readonly sha256: Buffer;
  readonly bytes: number;
  readonly rows: number;
  readonly loaded: number;
}

const UNLOADED: Shape<Unloaded> = {
  fileNo: integer,
  name: text,
  outputDir: text,
  sha256: bytea,
  bytes: integer,
  rows: integer,
  loaded: integer,
};

/** Compares what the ledger says of each file, its rows aside: on which side it is and how many rows it was found to have. */
export async function compareFiles({ client }: Connection, findings: Findings): Promise<void> {
  const rows = await queryRows(
    client,
    {
      name: text,
      state: text,
      quarantined: nullable(text),
      reason: nullable(text),
      rows: integer,
      rejects: integer,
      rowsRead: integer,
      rowsRejected: integer,
    },
    `
    select e.name, e.state, e.quarantined, f.reason, e.rows, e.rejects, f.rows_read, f.rows_rejected
    from expected_file e
    join ecompipe.files f using (file_id)
    where e.state <> 'loading'
      and ((e.state = 'quarantined') <> (e.quarantined is not null)
        or e.quarantined is null and e.rows <> f.rows_read)
    order by e.file_no`,
  );
  for (const { name, state, quarantined, reason, rows: written, rowsRead } of rows) {
    if (state === 'quarantined' && quarantined === null)
      findings.add({
        kind: 'wronglyQuarantined',
        file: name,
        detail: `in quarantine, but must be loaded: ${reason ?? ''}`,
      });
    else if (state === 'loaded' && quarantined !== null)
      findings.add({ kind: 'wronglyLoaded', file: name, detail: `loaded, but must be in quarantine (${quarantined})` });
    else
      findings.add({
        kind: 'miscounted',
        file: name,
        detail: `has ${countOf(written, 'row')}, the ledger counted ${rowsRead}`,
      });
  }
}

/**
 * Looks for files that are not loaded: pending, or gone. Files move on while we look; that goes from incoming/ over
 * processing/ to archive/, so looking in this order misses none, and who seems lost is looked up in the ledger again.
 */
export async function findUnloaded(
  { client }: Connection,
  settings: VerifySettings,
  findings: Findings,
): Promise<VerifiedFileTotals> {
  const files = await queryRows(
    client,
    UNLOADED,
    `
    select file_no, name, output_dir, sha256, bytes, rows, loaded
    from expected_file where state is null or state = 'loading' order by file_no`,
  );
  let [pendingFiles, pendingRows] = [0, 0];
  const unknown: UnknownFile[] = [];
  for (const file of files) {
    const isWaiting =
      (await locate(file.name, { bytes: file.bytes }, [file.outputDir, ...settings.waitingDirs])) !== undefined;
    const path = isWaiting ? undefined : await locate(file.name, { sha256: file.sha256 }, settings.loadedDirs);
    if (isWaiting || (await isInLedger(client, file))) {
      pendingFiles++;
      pendingRows += file.rows;
    } else if (path !== undefined) {
      unknown.push({ fileNo: file.fileNo, name: file.name, path, rows: file.rows });
      findings.add({ kind: 'miscounted', file: file.name, detail: `lies at ${path}, but the ledger does not know it` });
    } else {
      findings.add(
        {
          kind: 'lost',
          file: file.name,
          detail: `the file was published with ${countOf(file.rows, 'row')}; the ledger does not know it, and it is nowhere`,
        },
        Math.max(1, file.rows),
      );
    }
  }
  return { pendingFiles, pendingRows, unknown };
}

async function isInLedger(client: Connection['client'], { sha256 }: Unloaded): Promise<boolean> {
  const { known } = await queryRow(
    client,
    { known: boolean },
    `select exists (select from ecompipe.files where ${isSameContent('sha256', '$1')}) as known`,
    [sha256],
  );
  return known;
}
