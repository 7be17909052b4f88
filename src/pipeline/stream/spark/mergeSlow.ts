import type { Connection } from '../../../platform/db/client.js';
import type { Defect } from '../../../contract/csv/recordFrames.js';
import { NO_ROWS, type RowCounts } from '../batch.js';
import { compareKnown, judgeConstraints, validateTypes } from '../slow/classify.js';
import { insertJudged } from '../slow/loadSlow.js';
import { explainDefect } from '../slow/records.js';
import { writeDuplicates, writeRejects, type Reason } from '../slow/reject.js';
import type { EventRules } from '../slow/rules.js';
import { createTyped, PLANNER_SETTINGS, TYPED } from '../slow/stage.js';
import { EVENT_COLUMNS } from '../../../contract/columns.js';
import { StageLost, type Staged } from './stage.js';
import type { Unit } from './units.js';

/** Where a staged row comes from. */
interface StagedPlace {
  readonly ordinal: number;
  readonly piece: number;
  readonly line: number;
  readonly byteOffset: number;
  readonly raw: Buffer;
}

/**
 * Classifies and merges rows that executors staged as text, with the statements of the native slow path: its stage is a
 * view of theirs here. Part of the caller's transaction.
 * @returns the counts of each part, in order.
 */
export async function mergeSlow(
  connection: Connection,
  unit: Unit,
  staged: Staged,
  { rules, batchId }: { readonly rules: EventRules; readonly batchId: number },
): Promise<RowCounts[]> {
  const { client } = connection;
  await prepare(connection, staged, rules);
  const malformed = await readMalformed(connection, unit, staged);
  const badTypes = await validateTypes(connection, rules);
  const badRows = await judgeConstraints(connection, rules);
  const { known, refused, inserted } = await insertJudged(connection, rules, unit.rows);
  const { rejected: conflicts, duplicates } = await compareKnown(connection, rules, known);
  const reasons = new Map<number, Reason>([
    ...[...malformed].map(([ordinal, { reason }]) => [ordinal, reason] as const),
    ...badTypes,
    ...badRows,
    ...refused,
    ...conflicts,
  ]);
  const places = await readPlaces(connection, staged, [
    ...badTypes.keys(),
    ...badRows.keys(),
    ...refused.keys(),
    ...conflicts.keys(),
    ...duplicates.keys(),
  ]);
  const place = (ordinal: number): { fileId: number; line: number; byteOffset: number; raw: Buffer } => {
    const found = places.get(ordinal) ?? malformed.get(ordinal)?.place;
    if (found === undefined) throw new StageLost(`row ${ordinal} is not in the stage any more`);
    return {
      fileId: unit.parts[staged.partOfPiece[found.piece] ?? -1]?.part.fileId ?? 0,
      line: found.line,
      byteOffset: found.byteOffset,
      raw: found.raw,
    };
  };
  await writeRejects(
    connection,
    batchId,
    [...reasons].map(([ordinal, reason]) => ({ ...place(ordinal), reason })),
  );
  await writeDuplicates(
    connection,
    batchId,
    [...duplicates].map(([ordinal, eventId]) => ({ ...place(ordinal), eventId })),
  );
  await client.query('drop view pg_temp.ecompipe_stage');
  const counts = countByPart(unit, reasons, duplicates);
  const expected = counts.reduce((sum, count) => sum + count.inserted, 0);
  if (expected !== inserted)
    throw new StageLost(`the server inserted ${inserted} rows where ${expected} were left to insert`);
  return counts;
}

/** As the native slow path's prepareStage, but the stage is a view of what the executors brought. */
async function prepare({ client }: Connection, { table, attempts }: Staged, rules: EventRules): Promise<void> {
  const columns = EVENT_COLUMNS.join(', ');
  await client.query(`${PLANNER_SETTINGS}
    create temporary view ecompipe_stage as
      select ordinal, ${columns} from ${table} where defect is null and attempt in (${attempts.join(', ')});
    ${createTyped(rules)};
    truncate ${TYPED}`);
}

async function readMalformed(
  { client }: Connection,
  unit: Unit,
  { table, attempts, partOfPiece }: Staged,
): Promise<Map<number, { place: StagedPlace; reason: Reason }>> {
  const { rows } = await client.query<StagedPlace & { defect: string }>(
    `select ordinal, piece, line, byte_offset as "byteOffset", defect, broken as raw from ${table} where defect is not null and attempt = any ($1)`,
    [attempts],
  );
  return new Map(
    rows.map(({ defect, ...place }) => {
      const columns = unit.parts[partOfPiece[place.piece] ?? -1]?.file.header?.columns.length ?? 0;
      const reason = explainDefect(
        place.raw,
        { start: 0, end: place.raw.length, defect: defect === 'encoding' ? undefined : (defect as Defect) },
        columns,
        false,
      );
      if (reason === undefined) throw new TypeError(`nothing is wrong with a row that is staged as ${defect}`);
      return [place.ordinal, { place, reason }];
    }),
  );
}

async function readPlaces(
  { client }: Connection,
  { table, attempts }: Staged,
  ordinals: readonly number[],
): Promise<Map<number, StagedPlace>> {
  if (ordinals.length === 0) return new Map();
  const { rows } = await client.query<StagedPlace>(
    `select ordinal, piece, line, byte_offset as "byteOffset", convert_to(raw, 'UTF8') as raw from ${table} where attempt = any ($1) and ordinal = any ($2)`,
    [attempts, ordinals],
  );
  return new Map(rows.map((row) => [row.ordinal, row]));
}

function countByPart(
  unit: Unit,
  reasons: ReadonlyMap<number, unknown>,
  duplicates: ReadonlyMap<number, unknown>,
): RowCounts[] {
  let ordinal = 0;
  return unit.parts.map(({ part }) => {
    const counts = { ...NO_ROWS, read: part.rows };
    for (const end = ordinal + part.rows; ordinal < end; ordinal++) {
      if (reasons.has(ordinal)) counts.rejected++;
      else if (duplicates.has(ordinal)) counts.duplicate++;
      else counts.inserted++;
    }
    return counts;
  });
}
