import { lstatSync } from 'node:fs';
import path from 'node:path';
import type { Connection } from '../../platform/db/client.js';
import type { FaultLine, FileLine } from '../../contract/manifest/format.js';
import type { VerifyEvent } from './verifyEvents.js';
import { readManifests, type ManifestEntry } from './manifests.js';
import { integer, queryRow } from '../../platform/db/decodeRows.js';

/** Rows sent to the server at once. */
const CHUNK_ROWS = 2000;

/**
 * What the manifests say, in temporary tables, so that memory here does not grow with them. `expected_file` has one row
 * per content, with what the ledger knows of it; `expected_fault` only rows of files that count.
 */
const TABLES = `
  create temp table expected_file (
    file_no bigint primary key, manifest int not null, name text not null, output_dir text not null, sha256 bytea not null, bytes bigint not null,
    rows bigint not null, loaded bigint not null, duplicates bigint not null, rejects bigint not null,
    id_sum numeric not null, content_sum numeric not null, quarantined text, is_redelivery boolean not null,
    file_id bigint, state text
  );
  create temp table pruned_file (file_no bigint not null, rows bigint not null);
  create temp table expected_type (file_no bigint not null, event_type text not null, rows bigint not null, cents numeric not null);
  create temp table expected_fault (manifest int not null, name text not null, line bigint, kind text not null, event_id text, outcome text not null, file_no bigint)`;

export interface Expectations {
  readonly runs: number;
  readonly files: number;
  readonly faults: number;
}

/** Reads the manifests into the temporary tables. */
export async function stageExpectations(
  connection: Connection,
  manifestDir: string,
  emit: (event: VerifyEvent) => void,
): Promise<Expectations> {
  const { client } = connection;
  await client.query(TABLES);
  const stage = new Stage(connection);
  for await (const entry of readManifests(manifestDir)) await stage.take(entry);
  await stage.end();
  // One content counts once; a copy that says so itself gives way to the file that it is a copy of.
  await client.query(`
    delete from expected_file f
    using (select file_no, row_number() over (partition by sha256 order by is_redelivery, file_no) as nth from expected_file) as ranked
    where ranked.file_no = f.file_no and ranked.nth > 1;
    delete from expected_type t where not exists (select from expected_file f where f.file_no = t.file_no);
    create index on expected_file (manifest, name);
    analyze expected_file;
    update expected_fault t set file_no = f.file_no from expected_file f where f.manifest = t.manifest and f.name = t.name;
    delete from expected_fault where file_no is null or outcome = 'held';
    create index on expected_fault (file_no, line);
    analyze expected_fault, expected_type`);
  const found = await queryRow(
    client,
    { files: integer, faults: integer },
    'select (select count(*) from expected_file) as files, (select count(*) from expected_fault) as faults',
  );
  const counted = { runs: stage.runs, ...found };
  emit({ type: 'manifestsRead', ...counted });
  return counted;
}

/** Sends lines in chunks. A `file` line waits for the next one, which may withdraw it. */
class Stage {
  runs = 0;
  private fileNo = 0;
  private latest: (ManifestEntry & { readonly line: FileLine }) | undefined;
  private files: (ManifestEntry & { readonly line: FileLine; readonly fileNo: number })[] = [];
  private faults: (ManifestEntry & { readonly line: FaultLine })[] = [];

  constructor(private readonly connection: Connection) {}

  async take(entry: ManifestEntry): Promise<void> {
    const { line } = entry;
    switch (line.line) {
      case 'run':
        this.acceptLatestUnlessStaged();
        this.runs++;
        break;
      case 'fault':
        this.acceptLatest();
        this.faults.push({ ...entry, line });
        break;
      case 'file':
        this.acceptLatest();
        this.latest = { ...entry, line };
        break;
      case 'withdrawn':
        if (this.latest?.line.file === line.file) this.latest = undefined;
        break;
      case 'end':
        this.acceptLatest();
    }
    if (this.files.length + this.faults.length >= CHUNK_ROWS) await this.send();
  }

  async end(): Promise<void> {
    this.acceptLatestUnlessStaged();
    await this.send();
  }

  private acceptLatest(): void {
    if (this.latest !== undefined) this.files.push({ ...this.latest, fileNo: this.fileNo++ });
    this.latest = undefined;
  }

  /** The last file of a run that did not end is published unless its bytes still lie where they were written. */
  private acceptLatestUnlessStaged(): void {
    const { latest } = this;
    if (
      latest !== undefined &&
      lstatSync(path.join(latest.run.outputDir, latest.line.staged), { throwIfNoEntry: false }) !== undefined
    )
      this.latest = undefined;
    this.acceptLatest();
  }

  private async send(): Promise<void> {
    const {
      files,
      faults,
      connection: { client },
    } = this;
    this.files = [];
    this.faults = [];
    await client.query(
      `insert into expected_file (file_no, manifest, name, output_dir, sha256, bytes, rows, loaded, duplicates, rejects, id_sum, content_sum, quarantined, is_redelivery)
       select file_no, manifest, name, output_dir, decode(sha256, 'hex'), bytes, rows, loaded, duplicates, rejects, id_sum, content_sum, quarantined, is_redelivery
       from unnest ($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::numeric[], $12::numeric[], $13::text[], $14::boolean[])
         as t (file_no, manifest, name, output_dir, sha256, bytes, rows, loaded, duplicates, rejects, id_sum, content_sum, quarantined, is_redelivery)`,
      [
        files.map(({ fileNo }) => fileNo),
        files.map(({ manifest }) => manifest),
        files.map(({ line }) => line.file),
        files.map(({ run }) => run.outputDir),
        files.map(({ line }) => line.sha256),
        files.map(({ line }) => line.bytes),
        files.map(({ line }) => line.rows),
        files.map(({ line }) => line.loaded),
        files.map(({ line }) => total(line.duplicates)),
        files.map(({ line }) => total(line.rejects)),
        files.map(({ line }) => line.idSum),
        files.map(({ line }) => line.contentSum),
        files.map(({ line }) => line.quarantined),
        files.map(({ line }) => line.redeliveryOf !== null),
      ],
    );
    const types = files.flatMap(({ fileNo, line }) =>
      Object.entries(line.loadedByType).map(([type, totals]) => ({ fileNo, type, ...totals })),
    );
    await client.query(
      'insert into expected_type select * from unnest ($1::bigint[], $2::text[], $3::bigint[], $4::numeric[])',
      [
        types.map(({ fileNo }) => fileNo),
        types.map(({ type }) => type),
        types.map(({ rows }) => rows),
        types.map(({ moneyCents }) => moneyCents),
      ],
    );
    await client.query(
      'insert into expected_fault (manifest, name, line, kind, event_id, outcome) select * from unnest ($1::int[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])',
      [
        faults.map(({ manifest }) => manifest),
        faults.map(({ line }) => line.file),
        faults.map(({ line }) => line.fileLine),
        faults.map(({ line }) => line.kind),
        faults.map(({ line }) => line.eventId),
        faults.map(({ line }) => line.outcome),
      ],
    );
  }
}

function total(kinds: Readonly<Record<string, number>>): number {
  return Object.values(kinds).reduce((sum, count) => sum + count, 0);
}
