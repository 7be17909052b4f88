import { TransientError } from '../../../platform/db/sqlState.js';
import type { Database } from '../../../platform/db/target.js';
import type { CommittedBatch } from '../loadTransaction.js';
import type { LoaderContext } from '../runBatch.js';
import type { Driver } from './driver.js';
import { mergeUnit } from './mergeUnit.js';
import { NotTyped, StageLost, stageUnit, type Staged } from './stage.js';
import type { StageTables } from './stageTables.js';
import type { Unit } from './units.js';

export interface UnitContext {
  readonly driver: Driver;
  readonly database: Database;
  readonly tables: StageTables;
  readonly loader: LoaderContext;
  readonly stop: AbortSignal;
}

/**
 * Loads units one after the other. While one is merged, the executors stage the next; the merges come in order, because
 * a file's ranges do.
 * @param committed called after each commit
 * @throws SourceGone, CompareAndSetLost: plan again, what is committed stays; else what is final.
 */
export async function loadUnits(
  context: UnitContext,
  units: readonly Unit[],
  committed: (unit: Unit, batch: CommittedBatch) => Promise<void>,
): Promise<void> {
  let ahead = startStaging(context, units[0]);
  for (const [index, unit] of units.entries()) {
    const staged = ahead;
    try {
      await staged?.done.catch(() => undefined);
      ahead = context.stop.aborted ? undefined : startStaging(context, units[index + 1]);
      await committed(unit, await loadUnit(context, unit, staged));
    } catch (error) {
      await discard(context, ahead);
      throw error;
    }
    if (context.stop.aborted) {
      await discard(context, ahead);
      return;
    }
  }
}

interface Staging {
  readonly done: Promise<Staged>;
}

/** Undefined where there are no rows to stage. */
function startStaging({ driver, database, tables, loader }: UnitContext, unit: Unit | undefined): Staging | undefined {
  if (unit === undefined || unit.rows === 0) return undefined;
  const asText = !unit.plain || unit.shape?.feed !== undefined || loader.breaker.skipDirect();
  const done = stageUnit(driver, database, tables, unit, asText);
  // Who waits for it comes later.
  done.catch(() => undefined);
  return { done };
}

async function discard({ tables }: UnitContext, staging: Staging | undefined): Promise<void> {
  const staged = await staging?.done.catch(() => undefined);
  if (staged !== undefined) await tables.drop(staged.table);
}

/** Merges a unit; what was staged of it and is lost is staged again for as long as any other failure is borne (--retry-for). */
async function loadUnit(context: UnitContext, unit: Unit, staging: Staging | undefined): Promise<CommittedBatch> {
  let stage = (): Promise<Staged> | undefined => staging?.done;
  let lost = 0;
  return await context.database.retry('cannot merge what the executors staged', async () => {
    for (;;) {
      try {
        return await mergeStaged(context, unit, await stage());
      } catch (error) {
        if (!(error instanceof NotTyped) && !(error instanceof StageLost)) throw error;
        const asText = error instanceof NotTyped || error.wasText;
        stage = () => stageUnit(context.driver, context.database, context.tables, unit, asText);
        if (error instanceof NotTyped) context.loader.breaker.directFailed();
        else
          throw new TransientError(
            `${error.message}, ${++lost === 1 ? 'for the first time' : `${lost} times in a row`}: did the server crash, or do triggers or row-level security touch tables of the schema ecompipe?`,
            { cause: error },
          );
      }
    }
  });
}

async function mergeStaged(
  { loader, tables }: UnitContext,
  unit: Unit,
  staged: Staged | undefined,
): Promise<CommittedBatch> {
  try {
    const batch = await mergeUnit(loader, unit, staged);
    if (staged?.asText === false) loader.breaker.directSucceeded();
    return batch;
  } finally {
    if (staged !== undefined) await tables.drop(staged.table);
  }
}
