import type { Connection } from '../../platform/db/client.js';
import { withConnection, type Database } from '../../platform/db/target.js';
import type { Logger } from '../../platform/log.js';
import {
  compareComponents,
  findComponents,
  findMixedSurplus,
  findUnknownBatches,
  type Deviation,
} from './components.js';
import type { VerifyEvent, VerifyResult, VerifySettings } from './verifyEvents.js';
import { stageExpectations, type Expectations } from './expectations.js';
import { compareFiles, findUnloaded, type VerifiedFileTotals } from './files.js';
import { Findings } from './findings.js';
import { drillDown } from './drillDown.js';
import { compareRejects } from './rejects.js';
import { reportForeignCopies } from './rows.js';
import { scanEvents, type ScanResult } from './scan.js';
import { countOf } from '../../platform/format.js';
import { integer, queryRow, type Shape, text } from '../../platform/db/decodeRows.js';

export interface VerifyContext {
  readonly log: Logger;
  readonly stop: AbortSignal;
  readonly emit: (event: VerifyEvent) => void;
}

const DEFAULT_CONNECTIONS = 2;

/**
 * Proves the tables against the generator's manifests, in one pass over `public.events`.
 *
 * Files are found in the ledger by SHA-256. Count, money, ids and lengths of their rows are summed by batch and compared
 * with what the manifests say of the same files; rejects are compared one by one, by file and line. Only where a sum
 * differs is a file read again, to name the rows. All sums are of one snapshot, so a running pipeline does no harm; rows
 * of other sources in the table do none either.
 *
 * @throws UsageError or FileError when the manifests can't be read, DatabaseError, InterruptedError. That something is off is
 * no error but a result.
 */
export async function runVerify(
  settings: VerifySettings,
  database: Database,
  context: VerifyContext,
): Promise<VerifyResult> {
  const startMs = performance.now();
  return await withConnection(database, 'cannot verify', async (connection) => {
    const findings = new Findings();
    const expectations = await stageExpectations(connection, settings.manifestDir, context.emit);
    const { deviations, ...scan } = await compareInSnapshot(connection, settings, database, context, findings);
    // What follows looks at single rows and files, and at what has come since.
    const files = await findUnloaded(connection, settings, findings);
    await drillDown(
      { connection, settings, findings, stop: context.stop, emit: context.emit },
      deviations,
      files.unknown,
    );
    if (scan.rowsWithoutBatch > 0) await reportForeignCopies(connection, findings);
    return {
      ...(await summarize(connection, settings, expectations, files, scan, findings)),
      durationMs: Math.round(performance.now() - startMs),
    };
  });
}

async function compareInSnapshot(
  connection: Connection,
  settings: VerifySettings,
  database: Database,
  { stop, emit }: VerifyContext,
  findings: Findings,
): Promise<ScanResult & { deviations: Deviation[] }> {
  const { client } = connection;
  await client.query('begin isolation level repeatable read');
  const { snapshot } = await queryRow(client, { snapshot: text }, 'select pg_export_snapshot() as snapshot');
  await findComponents(connection);
  const scan = await scanEvents(
    connection,
    database,
    snapshot,
    settings.connections ?? DEFAULT_CONNECTIONS,
    stop,
    emit,
  );
  await compareFiles(connection, findings);
  await compareRejects(connection, findings);
  const deviations = await compareComponents(connection);
  for (const { batchId, ledgerRows, observedRows, file } of await findMixedSurplus(connection)) {
    findings.add(
      {
        kind: 'duplicated',
        file,
        detail: `batch ${batchId} loaded ${countOf(ledgerRows, 'row')}, and the table has ${observedRows} of it`,
      },
      observedRows - ledgerRows,
    );
  }
  for (const { batchId, rows: unknown } of await findUnknownBatches(connection)) {
    const detail = `the table has ${countOf(unknown, 'row')} of batch ${batchId}, which the ledger does not have`;
    findings.add({ kind: 'duplicated', detail }, unknown);
  }
  await client.query('commit');
  return { ...scan, deviations };
}

type VerifiedSums = Pick<
  VerifyResult,
  'rows' | 'duplicates' | 'rejects' | 'quarantined' | 'prunedFiles' | 'prunedRows'
>;

const VERIFIED_SUMS: Shape<VerifiedSums> = {
  rows: integer,
  quarantined: integer,
  duplicates: integer,
  rejects: integer,
  prunedFiles: integer,
  prunedRows: integer,
};

async function summarize(
  { client }: Connection,
  { allowPending }: VerifySettings,
  { runs, files }: Expectations,
  totals: VerifiedFileTotals,
  scan: ScanResult,
  findings: Findings,
): Promise<Omit<VerifyResult, 'durationMs'>> {
  const sums = await queryRow(
    client,
    VERIFIED_SUMS,
    `
    select coalesce(sum(loaded) filter (where state = 'loaded'), 0)::int8 as rows,
           coalesce(sum(duplicates) filter (where state = 'loaded'), 0)::int8 as duplicates,
           coalesce(sum(rejects) filter (where state = 'loaded'), 0)::int8 as rejects,
           count(*) filter (where state = 'quarantined') as quarantined,
           (select count(*) from pruned_file) as pruned_files, (select coalesce(sum(rows), 0)::int8 from pruned_file) as pruned_rows
    from expected_file`,
  );
  const { pendingFiles, pendingRows } = totals;
  return {
    ok: findings.total === 0 && (pendingFiles === 0 || allowPending === true),
    runs,
    files: files - sums.prunedFiles,
    ...sums,
    counts: findings.counts,
    pendingFiles,
    pendingRows,
    rowsScanned: scan.rowsScanned,
    findings: findings.examples,
  };
}
