import { execFile } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { TestDatabase } from '../../test/helpers/postgres.js';
import type { RestartableServer } from '../../test/helpers/restartableServer.js';
import { until } from '../../test/helpers/until.js';
import type { Actor } from './actor.js';
import type { Pipeline } from './pipeline.js';
import type { LossKind } from './schedule.js';

/** How long the pipeline may take, on a busy machine, to load another file or to notice a loss and look through its archive. */
const PATIENCE_MS = 120_000;

/** Counts how often the database has lost commits; the streams may say so as often. */
export interface LossCount {
  made: number;
}

/**
 * Has the database lose commits that a stream has seen, and waits until that stream has noticed by itself, was started again
 * as it asks for, and has searched the archive. Whether everything came back the table says in the end.
 */
export class LossMaker {
  constructor(
    private readonly pipeline: Pipeline,
    private readonly server: RestartableServer,
    private readonly database: TestDatabase,
    private readonly count: LossCount,
    /** Runs an action while nobody else stops or asks the server. */
    private readonly withServer: (action: () => Promise<void>) => Promise<void>,
  ) {}

  async make(kind: LossKind): Promise<void> {
    const { server } = this;
    const [data, copy, dead] = [server.dataDirectory, `${server.dataDirectory}.copy`, `${server.dataDirectory}.dead`];
    let newest = 0;
    await this.withServer(async () => {
      await server.stop('fast');
      await promisify(execFile)('cp', ['-a', data, copy]);
      await server.start();
      newest = await this.newestBatch();
    });
    let witness = await this.untilSeen(newest);
    let received = '';
    if (kind === 'failOver') {
      await this.withServer(async () => {
        // In this order: what commits after the second answer comes after the first.
        const [row] = await this.database.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn');
        received = row?.lsn ?? '';
        newest = await this.newestBatch();
      });
      witness = await this.untilSeen(newest);
    }
    const logged = witness.logBytes;
    await this.withServer(async () => {
      await server.stop('immediate');
      this.count.made++;
      renameSync(data, dead);
      renameSync(copy, data);
      if (kind === 'failOver') makeStandby(data, dead, received);
      await server.start();
      await until('the standby is promoted', () => this.isPrimary(), PATIENCE_MS);
      rmSync(dead, { recursive: true });
    });
    await until(
      'the stream has noticed the loss and searched the archive',
      () => witness.hasLogged(/put back \d+ files? from \S+archive /, logged),
      PATIENCE_MS,
    );
  }

  /** Waits until there is a stream whose checkpoint has a later batch than this. */
  private async untilSeen(batchId: number): Promise<Actor> {
    const streams = this.pipeline.actors.filter(({ options }) => options.role === 'stream');
    const find = (): Actor | undefined =>
      streams.find((stream) => newestIn(this.pipeline.checkpointOf(stream)) > batchId);
    await until('a stream has loaded something more', () => find() !== undefined, PATIENCE_MS);
    return find()!;
  }

  private async newestBatch(): Promise<number> {
    const [row] = await this.database.query<{ id: number }>(
      'select coalesce(max(batch_id), 0)::int4 as id from ecompipe.batches',
    );
    return row?.id ?? 0;
  }

  private async isPrimary(): Promise<boolean> {
    const [row] = await this.database.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
    return row?.standby === false;
  }
}

/** The copy of a data directory as a standby that has received its primary's WAL up to a place, and takes over there. */
function makeStandby(data: string, primary: string, received: string): void {
  appendFileSync(
    path.join(data, 'postgresql.auto.conf'),
    [
      `restore_command = 'cp "${primary}/pg_wal/%f" "%p"'`,
      `recovery_target_lsn = '${received}'`,
      'recovery_target_inclusive = off',
      "recovery_target_action = 'promote'\n",
    ].join('\n'),
  );
  const signal = path.join(data, 'standby.signal');
  writeFileSync(signal, '');
  const { uid, gid } = statSync(data);
  chownSync(signal, uid, gid);
}

function newestIn(checkpoint: string): number {
  if (!existsSync(checkpoint)) return 0;
  const { recent } = JSON.parse(readFileSync(checkpoint, 'utf8')) as { recent: readonly { batchId: number }[] };
  return Math.max(0, ...recent.map(({ batchId }) => batchId));
}
