import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { withDatabase } from '../../../src/platform/db/target.js';
import { contentSql, fingerprintSql, idTailSql } from '../../../src/contract/manifest/checksum.js';
import type { FaultLine, FileLine, ManifestLine } from '../../../src/contract/manifest/format.js';
import { silentLogger } from '../../../src/platform/log.js';
import { runMigrate } from '../../../src/pipeline/migrate/runMigrate.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';
import { temporaryDirectory } from './run.js';

/** Loads the files of generator outputs into a new database, as `migrate` and `stream --once` do. */
export async function loaded(t: TestContext, ...outputs: readonly string[]): Promise<TestDatabase> {
  const server = await startTestServer();
  const database = await server.createDatabase();
  t.after(() => database.drop());
  const directory = temporaryDirectory(t);
  const place = (name: string): string => path.join(directory, name);
  mkdirSync(place('in'));
  for (const output of outputs) {
    for (const name of readdirSync(output).filter((entry) => !entry.startsWith('.')))
      cpSync(path.join(output, name), path.join(place('in'), name));
  }
  const context = {
    stop: new AbortController().signal,
    drain: AbortSignal.abort(),
    log: silentLogger,
    emit: () => undefined,
  };
  const target = {
    databaseUrl: database.url,
    host: undefined,
    port: undefined,
    database: undefined,
    user: undefined,
    password: undefined,
    sslMode: undefined,
    sslRootCert: undefined,
    embeddedDir: '',
    retryForMs: 60_000,
  };
  await withDatabase(target, context, async (connected) => {
    await runMigrate(connected, 'apply', context);
    await runStream(
      {
        inputDir: place('in'),
        connections: 2,
        batchBytes: 1 << 20,
        afterLoad: 'archive',
        archiveDir: place('archive'),
        quarantineDir: place('quarantine'),
        checkpointDir: place('checkpoint'),
        maxRejected: undefined,
        atomicFile: false,
        pollIntervalMs: 1000,
      },
      connected,
      context,
    );
  });
  return database;
}

/** What a table must hold, or holds: comparable, so that one deepEqual says it all. */
export interface Books {
  readonly rows: number;
  readonly idSum: string;
  readonly contentSum: string;
  readonly byType: Readonly<Record<string, { rows: number; moneyCents: number }>>;
  readonly duplicates: number;
  readonly quarantined: number;
  /** Content (SHA-256) and line of every rejected row, sorted. Of one content under two names, either may be loaded first. */
  readonly rejected: readonly string[];
}

/** Adds up a manifest as its format says: a content counts once. */
export function expectedBooks(manifest: readonly ManifestLine[]): Books {
  const contents = new Map(
    manifest.filter((line): line is FileLine => line.line === 'file').map(({ file, sha256 }) => [file, sha256]),
  );
  const files = [
    ...new Map(
      manifest.filter((line): line is FileLine => line.line === 'file').map((line) => [line.sha256, line]),
    ).values(),
  ];
  const byType: Record<string, { rows: number; moneyCents: number }> = {};
  for (const { loadedByType } of files) {
    for (const [type, { rows, moneyCents }] of Object.entries(loadedByType)) {
      const sum = (byType[type] ??= { rows: 0, moneyCents: 0 });
      sum.rows += rows;
      sum.moneyCents += moneyCents;
    }
  }
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const faults = manifest.filter((line): line is FaultLine => line.line === 'fault' && line.outcome === 'rejected');
  return {
    rows: sum(files.map((file) => file.loaded)),
    idSum: files.reduce((total, file) => total + BigInt(file.idSum), 0n).toString(),
    contentSum: files.reduce((total, file) => total + BigInt(file.contentSum), 0n).toString(),
    byType,
    duplicates: sum(files.flatMap((file) => Object.values(file.duplicates))),
    quarantined: files.filter((file) => file.quarantined !== null).length,
    rejected: faults.map(({ file, fileLine }) => `${contents.get(file) ?? file}:${String(fileLine)}`).sort(),
  };
}

/** The same of what the database holds. */
export async function actualBooks(database: TestDatabase): Promise<Books> {
  const [sums] = await database.query<{ rows: number; id_sum: string | null; content_sum: string | null }>(
    `select count(*)::int as rows, sum(tail)::text as id_sum, sum(${fingerprintSql('tail', 'content')})::text as content_sum from (select ${idTailSql()} as tail, ${contentSql()} as content from events e) as row`,
  );
  const types = await database.query<{ event_type: string; rows: number; cents: string }>(
    'select event_type, count(*)::int as rows, coalesce(sum(price * 100 * coalesce(quantity, 1)), 0)::bigint as cents from events group by 1',
  );
  const [files] = await database.query<{ duplicates: string | null; quarantined: string }>(
    "select sum(rows_duplicate) as duplicates, count(*) filter (where state = 'quarantined') as quarantined from ecompipe.files",
  );
  const rejected = await database.query<{ place: string }>(
    "select encode(sha256, 'hex') || ':' || line as place from ecompipe.rejected_rows join ecompipe.files using (file_id)",
  );
  return {
    rows: sums!.rows,
    idSum: sums!.id_sum ?? '0',
    contentSum: sums!.content_sum ?? '0',
    byType: Object.fromEntries(
      types.map(({ event_type, rows, cents }) => [event_type, { rows, moneyCents: Number(cents) }]),
    ),
    duplicates: Number(files!.duplicates ?? 0),
    quarantined: Number(files!.quarantined),
    rejected: rejected.map(({ place }) => place).sort(),
  };
}
