import { InterruptedError } from '../../platform/errors.js';
import type { Connection } from '../../platform/db/client.js';
import { explainIfFinal } from '../../platform/db/errors.js';
import type { Deviation } from './components.js';
import type { VerifyEvent, VerifySettings } from './verifyEvents.js';
import type { UnknownFile } from './files.js';
import type { Findings } from './findings.js';
import { locate } from '../../platform/files/dayFolders.js';
import { compareRows } from './rows.js';
import { createFileRows, rereadFile } from './rereadFile.js';
import { printableLine } from '../../platform/printable.js';
import { countOf, formatCount } from '../../platform/format.js';
import { bytea, integer, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';

/** When more is off than this, the sums must do: re-reading runs at some 100,000 rows a second. */
const MAX_ROWS = 5_000_000;

interface OurFile {
  readonly component: number;
  readonly fileNo: number;
  readonly name: string;
  readonly ledgerName: string;
  readonly sha256: Buffer;
  readonly rows: number;
}

const OUR_FILE: Shape<OurFile> = {
  component: integer,
  fileNo: integer,
  name: text,
  ledgerName: text,
  sha256: bytea,
  rows: integer,
};

interface Context {
  readonly connection: Connection;
  readonly settings: VerifySettings;
  readonly findings: Findings;
  readonly stop: AbortSignal;
  readonly emit: (event: VerifyEvent) => void;
}

/**
 * Names the rows that make sums differ: reads the files of those components again, and compares row by row. So are mixed
 * components, whose sums say nothing, and files that the ledger does not know. A good run has none of the three.
 */
export async function drillDown(
  context: Context,
  deviations: readonly Deviation[],
  unknown: readonly UnknownFile[],
): Promise<void> {
  const { connection, findings } = context;
  const { client } = connection;
  const files = await filesToRead(
    connection,
    deviations.map(({ component }) => component),
  );
  if (files.length + unknown.length === 0 && deviations.length === 0) return;
  await createFileRows(connection);
  await client.query('create temp table narrowed (component bigint primary key)');
  const unread = await readAgain(context, files, unknown);
  const complete = new Set(deviations.map(({ component }) => component).filter((component) => !unread.has(component)));
  await client.query('insert into narrowed select unnest ($1::bigint[])', [[...complete]]);
  await client.query('create index on file_row (event_id); analyze file_row');
  const isExplained = await compareRows(connection, findings);
  for (const deviation of deviations) {
    const file = files.find(({ component }) => component === deviation.component)?.name;
    const why = unread.get(deviation.component);
    if (why !== undefined) reportBySums(findings, deviation, file, why);
    else if (!isExplained && unknown.length === 0) reportUnexplained(findings, deviation, file);
  }
  for (const file of files) {
    const why = unread.get(file.component);
    if (why !== undefined && !deviations.some(({ component }) => component === file.component))
      findings.add(
        {
          kind: 'unproven',
          file: file.name,
          detail: `shares a batch with files that the manifests do not know, and can't be compared row by row: ${why}`,
        },
        file.rows,
      );
  }
}

async function filesToRead({ client }: Connection, components: readonly number[]): Promise<OurFile[]> {
  return await queryRows(
    client,
    OUR_FILE,
    `select c.component, e.file_no, e.name, f.name as ledger_name, e.sha256, e.rows
     from component c
     join (select distinct file_id, component from our_range) as r using (component)
     join expected_file e using (file_id)
     join ecompipe.files f using (file_id)
     where (c.is_mixed or c.component = any ($1)) and e.state = 'loaded' and e.quarantined is null and e.rows > 0
     order by e.file_no`,
    [components],
  );
}

/** @returns by component why it could not be read as a whole. */
async function readAgain(
  { connection, settings, stop, emit }: Context,
  files: readonly OurFile[],
  unknown: readonly UnknownFile[],
): Promise<Map<number, string>> {
  const unread = new Map<number, string>();
  const jobs = [...unknown.map((file) => ({ ...file, component: undefined })), ...files];
  let [rows, done] = [0, 0];
  for (const job of jobs) {
    if (stop.aborted)
      throw new InterruptedError({ what: 'verify was interrupted', outcome: 'nothing is proved either way' });
    rows += job.rows;
    const why = rows > MAX_ROWS ? 'too many rows' : await readOne(connection, settings, job);
    if (why !== undefined && job.component !== undefined) unread.set(job.component, why);
    emit({ type: 'filesCompared', files: ++done, of: jobs.length });
  }
  return unread;
}

async function readOne(
  connection: Connection,
  settings: VerifySettings,
  job: OurFile | (UnknownFile & { component: undefined }),
): Promise<string | undefined> {
  const directories = [...settings.loadedDirs, ...settings.waitingDirs];
  const path =
    'path' in job
      ? job.path
      : ((await locate(job.ledgerName, job, directories)) ?? (await locate(job.name, job, directories)));
  if (path === undefined) return `${job.name} is no longer there`;
  const rows = await queryRows(
    connection.client,
    { line: integer },
    `select line from expected_fault where file_no = $1 and outcome = 'rejected'`,
    [job.fileNo],
  );
  try {
    await rereadFile(connection, job.fileNo, path, new Set(rows.map(({ line }) => line)));
    return undefined;
  } catch (error) {
    const explained = explainIfFinal(`cannot compare ${printableLine(path)}`, error);
    // A row that the manifest calls good and the server doesn't: the sums still say that something is off.
    if (explained === error) throw error;
    return (explained as Error).message;
  }
}

function reportBySums(
  findings: Findings,
  { expectedRows, observedRows }: Deviation,
  file: string | undefined,
  why: string,
): void {
  const place = file === undefined ? {} : { file };
  const detail = `${countOf(observedRows, 'row')} in the table where ${formatCount(expectedRows)} must be; the rows can't be named: ${why}`;
  const difference = observedRows - expectedRows;
  if (difference < 0) findings.add({ kind: 'lost', ...place, detail }, -difference);
  else if (difference > 0) findings.add({ kind: 'duplicated', ...place, detail }, difference);
  else
    findings.add({
      kind: 'corrupted',
      ...place,
      detail: `the rows are as many as must be, but ids, money or text lengths differ; they can't be named: ${why}`,
    });
}

/** Each row is as its file has it, and still the sums differ: it is the books that are wrong, the ledger's or the manifest's. */
function reportUnexplained(
  findings: Findings,
  { expectedRows, observedRows }: Deviation,
  file: string | undefined,
): void {
  const detail = `the table has its rows, but manifest and ledger do not add up (${countOf(expectedRows, 'row')} against ${observedRows}): one of the two was altered, or duplicates are not in ecompipe.duplicate_rows`;
  findings.add({ kind: 'miscounted', ...(file === undefined ? {} : { file }), detail });
}
