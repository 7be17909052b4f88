import { withConnection, type Database } from '../platform/db/target.js';
import type { Logger } from '../platform/log.js';
import type { RunAllResult } from './runAll.js';
import {
  createVerifyEventLogger,
  describeVerify,
  runVerify,
  type VerifyResult,
  type VerifySettings,
} from './verify/index.js';

/** What a run of the whole pipeline came to. */
export interface RunSummary {
  readonly runId: string;
  readonly seed: number;
  readonly manifest: string;
  readonly elapsedMs: number;
  readonly generated: { readonly files: number; readonly events: number; readonly rows: number };
  readonly loaded: {
    readonly files: number;
    readonly rows: number;
    readonly duplicates: number;
    readonly rejected: number;
    readonly quarantinedFiles: number;
  };
  readonly database: string;
  /** The embedded server: how to connect is another command then. */
  readonly embedded: boolean;
  readonly connect: string;
  /** All of the table, most frequent type first. */
  readonly eventsByType: readonly { readonly event_type: string; readonly count: number }[];
  /** With `--until-drained`: what this run generated, against the tables. */
  readonly proof: VerifyResult | undefined;
}

export interface SummaryOptions {
  /** Verify the tables against this run's manifest. */
  readonly prove: boolean;
  readonly elapsedMs: number;
  /** Where files wait, and where they are afterwards. */
  readonly places: Pick<VerifySettings, 'waitingDirs' | 'loadedDirs'>;
}

/** Reads what the table holds now and puts the run's figures beside it. */
export async function summarize(
  result: RunAllResult,
  database: Database,
  { prove, elapsedMs, places }: SummaryOptions,
  context: { readonly log: Logger; readonly stop: AbortSignal },
): Promise<RunSummary> {
  const { generated, loaded } = result;
  const eventsByType = await withConnection(database, 'cannot read the result', async ({ client }) => {
    const { rows } = await client.query<{ event_type: string; count: number }>(
      'select event_type, count(*) as count from public.events group by 1 order by 2 desc, 1',
    );
    return rows;
  });
  return {
    runId: generated.runId,
    seed: generated.seed,
    manifest: generated.manifest,
    elapsedMs: Math.round(elapsedMs),
    generated: { files: generated.files, events: generated.events, rows: generated.rows },
    loaded: {
      files: loaded.filesLoaded,
      rows: loaded.rows.inserted,
      duplicates: loaded.rows.duplicate,
      rejected: loaded.rows.rejected,
      quarantinedFiles: loaded.filesQuarantined,
    },
    database: database.label,
    embedded: database.embedded,
    connect: connectCommand(database),
    eventsByType,
    proof: prove
      ? await runVerify({ manifestDir: generated.manifest, ...places }, database, {
          ...context,
          emit: createVerifyEventLogger(context.log),
        })
      : undefined,
  };
}

/** A command line for a shell on the database; it never holds a password. */
function connectCommand({ embedded, settings: { host, port, user, database } }: Database): string {
  return embedded ? 'psql "$(npx ecompipe db url)"' : `psql -h ${host} -p ${port} -U ${user} -d ${database}`;
}

/** The summary for people. */
export function describeSummary(summary: RunSummary): string {
  const { generated, loaded, eventsByType } = summary;
  const width = Math.max(10, ...eventsByType.map(({ event_type }) => event_type.length));
  const countWidth = Math.max(9, ...eventsByType.map(({ count }) => format(count).length));
  const extras = [
    loaded.duplicates > 0 ? `${format(loaded.duplicates)} duplicates` : '',
    loaded.rejected > 0 ? `${format(loaded.rejected)} rejected` : '',
    loaded.quarantinedFiles > 0 ? `${format(loaded.quarantinedFiles)} files quarantined` : '',
  ].filter(Boolean);
  return [
    `generated ${format(generated.rows)} rows in ${format(generated.files)} files, loaded ${format(loaded.rows)} rows from ${format(loaded.files)} files${extras.map((extra) => `, ${extra}`).join('')} in ${(summary.elapsedMs / 1000).toFixed(1)} s (seed ${summary.seed})`,
    ...(summary.proof === undefined ? [] : [describeVerify(summary.proof)]),
    '',
    'select event_type, count(*) from events group by 1 order by 2 desc',
    `  ${'event_type'.padEnd(width)} | ${'count'.padStart(countWidth)}`,
    `  ${'-'.repeat(width)}-+-${'-'.repeat(countWidth)}`,
    ...eventsByType.map(
      ({ event_type, count }) => `  ${event_type.padEnd(width)} | ${format(count).padStart(countWidth)}`,
    ),
    '',
    `connect: ${summary.connect}`,
  ].join('\n');
}

function format(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}
