import type { Database } from '../../../platform/db/target.js';
import type { CommittedBatch } from '../loadTransaction.js';
import type { LoaderContext } from '../runBatch.js';
import type { DriverProcess } from './driverProcess.js';
import { SparkError } from './installation.js';
import { mergeUnit } from './mergeUnit.js';
import { NotTyped, StageLost, stageUnit, type Staged } from './stage.js';
import type { StageTables } from './stageTables.js';
import type { Unit } from './units.js';

export interface UnitContext {
  readonly driver: DriverProcess;
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
  const asText = !unit.plain || loader.breaker.skipDirect();
  const done = stageUnit(driver, database, tables, unit, asText);
  // Who waits for it comes later.
  done.catch(() => undefined);
  return { done };
}

async function discard({ tables }: UnitContext, staging: Staging | undefined): Promise<void> {
  const staged = await staging?.done.catch(() => undefined);
  if (staged !== undefined) await tables.drop(staged.table);
}

/** So often the rows of a unit may vanish from their stage before something else must be the matter. */
const MAX_LOST = 5;

async function loadUnit(context: UnitContext, unit: Unit, staging: Staging | undefined): Promise<CommittedBatch> {
  const { loader } = context;
  let next = staging?.done;
  for (let lost = 0; ;) {
    let staged: Staged | undefined;
    try {
      staged = await next;
      const batch = await mergeUnit(loader, unit, staged);
      if (staged?.asText === false) loader.breaker.directSucceeded();
      return batch;
    } catch (error) {
      if (!(error instanceof NotTyped) && !(error instanceof StageLost)) throw error;
      if (error instanceof NotTyped) loader.breaker.directFailed();
      else if (++lost >= MAX_LOST)
        throw new SparkError({
          what: 'rows that the executors staged are not there',
          why: `${error.message}, ${lost} times in a row`,
          outcome: 'the transaction was rolled back; nothing is lost',
          hint: 'look for triggers and row-level security that would touch tables of the schema ecompipe, and whether the server restarts again and again',
          cause: error,
        });
      next = stageUnit(
        context.driver,
        context.database,
        context.tables,
        unit,
        error instanceof NotTyped || staged?.asText === true,
      );
      next.catch(() => undefined);
    } finally {
      if (staged !== undefined) await context.tables.drop(staged.table);
    }
  }
}
