import type { Bench } from '../harness/question.js';
import type { EndedEcompipe } from '../harness/ecompipe.js';
import { perSecond, type Contender } from '../harness/rounds.js';
import type { Dataset, StreamStart } from '../harness/workspace.js';

export const OURS = 'ecompipe stream --once';

/**
 * The loader as a user runs it, measured two ways: `wall`, the whole process from before its start to its exit; and
 * `load`, from the moment it begins to look for files (connected, schema checked) to the commit of its last batch.
 * @param inserted rows that must be in the table then
 */
export function ours(
  bench: Bench,
  data: Dataset,
  inserted = data.rows,
  name = OURS,
  { args = [], executable }: StreamStart = {},
): Contender {
  const { workspace, database } = bench;
  return {
    name,
    prepare: async () => {
      await database.reset();
      workspace.stage(data.files);
    },
    run: async () => {
      const ended = await workspace.drain(database, { args, executable });
      const loadMs = await loadTime(bench, ended);
      await assertLoaded(bench, inserted, name);
      return {
        wall: perSecond(data.rows, ended.wallMs),
        load: perSecond(data.rows, loadMs),
        files: perSecond(data.files.length, ended.wallMs),
        filesLoad: perSecond(data.files.length, loadMs),
        peakMegabytes: ended.peakRssBytes / 1e6,
      };
    },
  };
}

/** The ledger entry is written right before the commit, which a durable server answers a few milliseconds later. */
async function loadTime({ database }: Bench, ended: EndedEcompipe): Promise<number> {
  const started = ended.log.find(({ event }) => event === 'stream_started');
  const [last] = await database.query<{ at: Date }>('select max(committed_at) as at from ecompipe.batches');
  if (started === undefined || last === undefined) throw new Error('the loader did not say when it started');
  return last.at.getTime() - Date.parse(started.time);
}

/** A speed counts only when the table holds what it should. */
export async function assertLoaded({ database }: Pick<Bench, 'database'>, rows: number, who: string): Promise<void> {
  const [counted] = await database.query<{ rows: string }>('select count(*) as rows from public.events');
  if (Number(counted?.rows) !== rows) throw new Error(`${who} loaded ${counted?.rows} rows, expected ${rows}`);
}

/** A rival that is given the files and says how long it took, in milliseconds. */
export function rival(
  bench: Bench,
  name: string,
  data: Dataset,
  load: (files: readonly string[]) => Promise<number>,
): Contender {
  return {
    name,
    prepare: () => bench.database.reset(),
    run: async () => {
      const durationMs = await load(data.files);
      await assertLoaded(bench, data.rows, name);
      return { wall: perSecond(data.rows, durationMs), files: perSecond(data.files.length, durationMs) };
    },
  };
}
