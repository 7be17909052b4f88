import pg from 'pg';
import { unnamedFields } from '../../../contract/csv/header.js';
import { TransientError } from '../../../platform/db/sqlState.js';
import type { Database } from '../../../platform/db/target.js';
import { countOf } from '../../../platform/format.js';
import type { Driver } from './driver.js';
import { SparkError } from './installation.js';
import type { FromJob, Piece, StageCommand, StagedTask } from './messages.js';
import type { StageTables } from './stageTables.js';
import { stagedColumns, type Unit } from './units.js';

/** The rows of a unit, in a table of PostgreSQL but not yet in `events`. */
export interface Staged {
  readonly table: string;
  readonly asText: boolean;
  /** The attempts whose rows count. */
  readonly attempts: readonly number[];
  /** Which part of the unit a piece belongs to. */
  readonly partOfPiece: readonly number[];
}

/** What was staged is not there any more (a crash of the server empties unlogged tables): stage it again. */
export class StageLost extends Error {
  constructor(
    message: string,
    /** How it was staged, and is to be again. */
    readonly wasText: boolean,
  ) {
    super(message);
  }
}

/** The typed stage or the table does not take these rows as they are: stage them as text, so that each gets its verdict. */
export class NotTyped extends Error {}

/** A file of the unit was taken away or exchanged meanwhile: plan again. */
export class SourceGone extends Error {
  constructor(
    readonly unit: Unit,
    readonly parts: ReadonlySet<number>,
    /** Those of them that the driver still sees as they were listed. */
    readonly unseen: ReadonlySet<number>,
  ) {
    super('a file is not there any more');
  }
}

/**
 * Has the executors stage a unit, again and again while Spark or the database can't.
 * @throws NotTyped, SourceGone; SparkError, DatabaseError when it is final.
 */
export async function stageUnit(
  driver: Driver,
  database: Database,
  tables: StageTables,
  unit: Unit,
  asText: boolean,
): Promise<Staged> {
  const table = await tables.create(asText, unit);
  try {
    const { command, partOfPiece } = commandOf(unit, table, asText);
    const answer = await database.retry('the executors can not stage rows', async () =>
      assertStaged(await driver.ask(command), asText),
    );
    const partsOf = (pieces: (task: StagedTask) => readonly number[]): ReadonlySet<number> =>
      new Set(answer.tasks.flatMap(pieces).map((index) => partOfPiece[index] ?? -1));
    const missing = partsOf((task) => task.missing);
    if (missing.size > 0)
      throw new SourceGone(
        unit,
        missing,
        partsOf((task) => task.unseen),
      );
    const rows = answer.tasks.reduce((sum, task) => sum + task.rows, 0);
    if (rows !== unit.rows)
      throw asText
        ? new StageLost(`${countOf(rows, 'row was', 'rows were')} staged where ${unit.rows} were counted`, true)
        : new NotTyped();
    return { table, asText, attempts: answer.tasks.map(({ attempt }) => attempt), partOfPiece };
  } catch (error) {
    await tables.drop(table);
    throw error;
  }
}

/** @throws NotTyped when the data is at fault; an error for database.retry for everything else that went wrong. */
function assertStaged(answer: FromJob, asText: boolean): Extract<FromJob, { type: 'staged' }> {
  if (answer.type === 'failed') throw new TransientError(answer.message);
  if (answer.type !== 'staged') throw new TypeError(`unexpected answer ${answer.type}`);
  const refusal = answer.tasks.map((task) => task.refusal).find((found) => found !== undefined);
  if (refusal === undefined) return answer;
  if (refusal.sqlState.startsWith('22') || refusal.sqlState.startsWith('23')) {
    if (!asText) throw new NotTyped(refusal.message);
    // Staged again they would be refused again.
    throw new SparkError({
      what: 'the executors can not stage rows as text',
      why: `${refusal.message} (SQLSTATE ${refusal.sqlState})`,
      outcome: 'nothing of this unit was loaded; nothing is lost',
      hint: 'look for triggers and domains that would touch tables of the schema ecompipe, or load the files with --engine native',
    });
  }
  throw Object.assign(new pg.DatabaseError(refusal.message, 0, 'error'), { code: refusal.sqlState });
}

/** Every row's ordinal is known before it is staged: the rows of the pieces before it were counted. */
function commandOf(unit: Unit, table: string, asText: boolean): { command: StageCommand; partOfPiece: number[] } {
  const partOfPiece: number[] = [];
  const pieces: StageCommand['pieces'][number][] = [];
  const columns = stagedColumns(unit);
  const unnamed = unit.shape === undefined ? 0 : unnamedFields(unit.shape);
  let firstOrdinal = 0;
  for (const [partIndex, { file, pieces: ofPart }] of unit.parts.entries()) {
    for (const piece of ofPart) {
      pieces.push({
        index: pieces.length,
        file: file.inspection.file,
        firstOrdinal,
        columns,
        unnamed,
        ...placeOf(piece),
      });
      partOfPiece.push(partIndex);
      firstOrdinal += piece.rows;
    }
  }
  return { command: { type: 'stage', table, asText, pieces }, partOfPiece };
}

function placeOf({ start, end, firstLine, crlf }: Piece): Pick<Piece, 'start' | 'end' | 'firstLine' | 'crlf'> {
  return { start, end, firstLine, crlf };
}
