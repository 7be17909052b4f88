import { isSameContent } from '../../contract/content.js';
import type { Connection } from '../../platform/db/client.js';
import type { Logger } from '../../platform/log.js';
import { pause } from '../../platform/wait.js';
import type { CheckpointStore } from './checkpointStore.js';
import type { LedgerBatch } from './ledger.js';
import { createLossExplainer, explainOtherDatabase, type LossPlaces } from './lostCommits.js';
import { Witness, type WitnessedBatch } from './witness.js';
import { integer, nullable, queryRows, type Shape, text } from '../../platform/db/decodeRows.js';

/** Which database a checkpoint is about: survives a rename, differs for every initdb and every created database. */
export interface DatabaseIdentity {
  /** From pg_control; null where the role may not ask. */
  readonly systemIdentifier: string | null;
  readonly oid: number;
}

const DATABASE_IDENTITY: Shape<DatabaseIdentity> = { systemIdentifier: nullable(text), oid: integer };

/**
 * The checkpoint file: a witness of what was committed. It may lag behind the ledger, as it is written after the commit;
 * it can never be ahead of it, unless the database has lost commits.
 */
interface Checkpoint {
  readonly version: 1;
  readonly database: DatabaseIdentity;
  readonly lastBatchId: number | null;
  /** The batches seen last, the newest at the end. Absent: written by an older version. */
  readonly recent?: readonly WitnessedBatch[];
  /** Files in progress and how far they are committed, by hexadecimal SHA-256. */
  readonly files: Readonly<Record<string, { readonly name: string; readonly committedOffset: number }>>;
}

export async function readIdentity({ client }: Connection): Promise<DatabaseIdentity> {
  const rows = await queryRows(
    client,
    DATABASE_IDENTITY,
    `select case when has_function_privilege('pg_control_system()', 'execute')
              then (select system_identifier::text from pg_control_system()) end as system_identifier,
            oid::int8 as oid
     from pg_database where datname = current_database()`,
  );
  const [identity] = rows;
  if (identity === undefined) throw new Error('the ledger has no identity');
  return identity;
}

/** Keeps the checkpoint file up to date: one write at a time, always of the newest state. */
export class CheckpointWriter {
  private lastBatchId: number | null = null;
  private readonly files = new Map<string, { name: string; committedOffset: number }>();
  private writing: Promise<void> | undefined;
  private isStale = false;
  private flushing = new AbortController();

  constructor(
    private readonly store: CheckpointStore,
    private readonly database: DatabaseIdentity,
    private readonly witness: Witness,
    private readonly log: Logger,
  ) {}

  /** Notes a commit and, when no write is under way, writes. Does not wait: the file may lag. */
  committed(
    { batchId, token }: { readonly batchId: number; readonly token: string },
    parts: readonly {
      readonly sha256: Buffer;
      readonly name: string;
      readonly endOffset: number;
      readonly isLast: boolean;
    }[],
  ): void {
    this.lastBatchId = Math.max(batchId, this.lastBatchId ?? 0);
    this.witness.saw({ batchId, token, seenAt: new Date().toISOString() });
    for (const part of parts) {
      const key = part.sha256.toString('hex');
      if (part.isLast) this.files.delete(key);
      else this.files.set(key, { name: part.name, committedOffset: part.endOffset });
    }
    this.scheduleWrite();
  }

  /** Notes a batch that the ledger has, of a process that was ended before it put the file away. */
  known({ batchId, token, committedAt }: LedgerBatch): void {
    this.witness.saw({ batchId, token, seenAt: committedAt.toISOString() });
    this.scheduleWrite();
  }

  private scheduleWrite(): void {
    this.isStale = true;
    this.writing ??= this.writeWhileStale().finally(() => (this.writing = undefined));
  }

  /** Waits until the newest state is on disk. */
  async flush(): Promise<void> {
    this.flushing.abort();
    while (this.writing !== undefined) await this.writing;
    this.flushing = new AbortController();
  }

  private async writeWhileStale(): Promise<void> {
    while (this.isStale) {
      this.isStale = false;
      try {
        const checkpoint: Checkpoint = {
          version: 1,
          database: this.database,
          lastBatchId: this.lastBatchId,
          recent: this.witness.recent,
          files: Object.fromEntries(this.files),
        };
        await this.store.replace(`${JSON.stringify(checkpoint, null, 2)}\n`);
      } catch (error) {
        // Only a witness: a full disk here must not stop a load whose truth is in the database.
        this.log.warn(
          'checkpoint_failed',
          `cannot write the checkpoint in ${this.store.label}: ${error instanceof Error ? error.message : String(error)}; loading continues, as the ledger in the database has everything`,
        );
      }
      await pause(this.store.writeIntervalMs, this.flushing.signal);
    }
  }
}

/**
 * Compares the checkpoint file with the ledger. Missing, damaged or behind: the ledger is right and the file is written
 * anew. From another database, or ahead of the ledger: something was restored or exchanged that a person must look at.
 * @returns the batches that it has seen; {@link Witness} compares them again whenever a connection is opened.
 * @throws IntegrityError (exit 6) in those two cases.
 */
export async function assertCheckpoint(
  connection: Connection,
  store: CheckpointStore,
  places: LossPlaces,
  identity: DatabaseIdentity,
  log: Logger,
): Promise<Witness> {
  const explainLoss = createLossExplainer(places);
  const checkpoint = await readCheckpoint(store, log);
  if (checkpoint === undefined) return new Witness([], explainLoss);
  if (!isSameDatabase(checkpoint.database, identity)) throw await explainOtherDatabase(connection, store.file, places);
  const witness = new Witness(witnessedBy(checkpoint), explainLoss);
  await witness.assertKnown(connection);
  const behind = await findFilesBehind(connection, checkpoint);
  if (behind.length > 0) throw await explainLoss(connection, [], behind);
  return witness;
}

/** What an older version noted is the id of the last batch alone. */
function witnessedBy({ recent, lastBatchId }: Checkpoint): readonly WitnessedBatch[] {
  if (recent !== undefined) return recent;
  return lastBatchId === null ? [] : [{ batchId: lastBatchId, token: null, seenAt: new Date(0).toISOString() }];
}

function isSameDatabase(a: DatabaseIdentity, b: DatabaseIdentity): boolean {
  const isSameCluster =
    a.systemIdentifier === null || b.systemIdentifier === null || a.systemIdentifier === b.systemIdentifier;
  return isSameCluster && a.oid === b.oid;
}

/** Names of files of which less is committed than was seen. What a person took out again is not lost. */
async function findFilesBehind({ client }: Connection, { files }: Checkpoint): Promise<string[]> {
  const entries = Object.entries(files);
  if (entries.length === 0) return [];
  const rows = await queryRows(
    client,
    { name: text },
    `select w.name
     from unnest ($1::text[], $2::text[], $3::bigint[]) as w (sha256, name, committed_offset)
     left join ecompipe.files f on ${isSameContent('f.sha256', "decode(w.sha256, 'hex')")}
     where (f.file_id is null or f.committed_offset < w.committed_offset)
       and not exists (select from ecompipe.undone_files u where u.sha256 = decode(w.sha256, 'hex'))`,
    [
      entries.map(([sha256]) => sha256),
      entries.map(([, { name }]) => name),
      entries.map(([, { committedOffset }]) => committedOffset),
    ],
  );
  return rows.map(({ name }) => name);
}

async function readCheckpoint(store: CheckpointStore, log: Logger): Promise<Checkpoint | undefined> {
  const text = await store.read();
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isCheckpoint(value)) return value;
  } catch {
    // Not JSON: the same as JSON of another shape.
  }
  log.warn('checkpoint_rebuilt', `the checkpoint ${store.file} is damaged; continuing from the ledger in the database`);
  return undefined;
}

function isCheckpoint(value: unknown): value is Checkpoint {
  const candidate = value as Partial<Checkpoint> | null;
  if (typeof candidate !== 'object' || candidate?.version !== 1 || typeof candidate.files !== 'object') return false;
  if (
    typeof candidate.database?.oid !== 'number' ||
    !(candidate.lastBatchId === null || Number.isSafeInteger(candidate.lastBatchId))
  )
    return false;
  if (candidate.recent !== undefined && !(Array.isArray(candidate.recent) && candidate.recent.every(isWitnessed)))
    return false;
  return Object.entries(candidate.files).every(
    ([sha256, file]) =>
      /^[0-9a-f]{64}$/.test(sha256) && typeof file.name === 'string' && Number.isSafeInteger(file.committedOffset),
  );
}

function isWitnessed(value: unknown): value is WitnessedBatch {
  const { batchId, token, seenAt } = (value ?? {}) as Partial<WitnessedBatch>;
  return (
    Number.isSafeInteger(batchId) &&
    (token === null || (typeof token === 'string' && /^[0-9a-f-]{36}$/.test(token))) &&
    typeof seenAt === 'string' &&
    !Number.isNaN(Date.parse(seenAt))
  );
}
