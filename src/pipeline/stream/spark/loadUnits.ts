import { unnamedFields } from '../../../contract/csv/header.js';
import { TransientError } from '../../../platform/db/sqlState.js';
import type { Database } from '../../../platform/db/target.js';
import type { CommittedBatch } from '../loadTransaction.js';
import type { LoaderContext } from '../runBatch.js';
import type { Driver } from './driver.js';
import { mergeUnit } from './mergeUnit.js';
import { NotTyped, StageLost, stageUnit, type Staged } from './stage.js';
import type { StageTables } from './stageTables.js';
import type { InspectedFile, Unit } from './units.js';

export interface UnitContext {
  readonly driver: Driver;
  readonly database: Database;
  readonly tables: StageTables;
  readonly loader: LoaderContext;
  /** Units that are merged at the same time, each on a connection of its own. */
  readonly merges: number;
  readonly stop: AbortSignal;
}

/**
 * Loads units: some are merged at the same time, while the executors stage the next one. Units that share a file are
 * merged in order, because its ranges are.
 * @param committed called after each commit
 * @throws SourceGone, CompareAndSetLost: plan again, what is committed stays; else what is final. The first one counts,
 *   and is thrown when all others have ended.
 */
export async function loadUnits(
  context: UnitContext,
  units: readonly Unit[],
  committed: (unit: Unit, batch: CommittedBatch) => Promise<void>,
): Promise<void> {
  const { stop, merges } = context;
  const loading = new Set<Promise<void>>();
  const lastOfFile = new Map<InspectedFile, Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const isOver = (): boolean => failure !== undefined || stop.aborted;

  const load = async (unit: Unit, earlier: readonly Promise<void>[]): Promise<void> => {
    const staging = startStaging(context, unit);
    try {
      await Promise.all([staging?.done.catch(() => undefined), ...earlier]);
      if (isOver()) await discard(context, staging);
      else await committed(unit, await loadUnit(context, unit, staging));
    } catch (error) {
      failure ??= { error };
    }
  };

  for (const unit of units) {
    // One more is staged meanwhile.
    while (loading.size > merges) await Promise.race(loading);
    if (isOver()) break;
    const earlier = unit.parts.flatMap(({ file }) => lastOfFile.get(file) ?? []);
    const end: Promise<void> = load(unit, earlier).finally(() => loading.delete(end));
    loading.add(end);
    for (const { file } of unit.parts) lastOfFile.set(file, end);
  }
  await Promise.all(loading);
  if (failure !== undefined) throw failure.error;
}

interface Staging {
  readonly done: Promise<Staged>;
}

/** Undefined where there are no rows to stage. */
function startStaging({ driver, database, tables, loader }: UnitContext, unit: Unit): Staging | undefined {
  if (unit.rows === 0) return undefined;
  const { shape } = unit;
  const isOther = shape !== undefined && (shape.feed !== undefined || unnamedFields(shape) > 0);
  const asText = !unit.plain || isOther || loader.breaker.skipDirect();
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
