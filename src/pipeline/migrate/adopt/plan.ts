import { quoteName } from '../../../platform/db/names.js';
import { conversionOf, type Conversion } from './lossless.js';
import type { ColumnShape, TableShape } from './tableShape.js';

/** One thing that is to be said about the existing table. `obstacle`: it can't be adopted as it is. */
export interface AdoptionFinding {
  readonly kind: 'fits' | 'change' | 'remark' | 'obstacle';
  readonly text: string;
}

/** What becomes of a column that should be there. */
export interface ColumnPlan {
  readonly wanted: ColumnShape;
  readonly existing: ColumnShape | undefined;
  /** How its values change; undefined: they stay as they are, or there are none. */
  readonly conversion: Conversion | undefined;
  /** Its value after the adoption, as SQL about the table as it is. */
  readonly value: string;
  /** True for a value that can be kept. */
  readonly isLossless: string;
  readonly obstacle: string | undefined;
}

/** Whether it has the wanted type; a domain over it counts, with the rules of its own. */
function hasType(existing: ColumnShape, wanted: ColumnShape): boolean {
  return existing.baseType === wanted.type && !existing.isGenerated;
}

export function planColumns(existing: TableShape, wanted: TableShape): ColumnPlan[] {
  const byName = new Map(existing.columns.map((column) => [column.name, column]));
  return wanted.columns.map((column) => planColumn(byName.get(column.name), column));
}

function planColumn(existing: ColumnShape | undefined, wanted: ColumnShape): ColumnPlan {
  const nothing = `${wanted.defaultValue ?? 'null'}::${wanted.type}`;
  const plan = { wanted, existing, conversion: undefined, isLossless: 'true', obstacle: undefined };
  if (existing === undefined) return { ...plan, value: nothing };
  const name = quoteName(existing.name);
  // The batch that loaded a row is ours to say: the ids of others would be taken for those of our own batches.
  if (wanted.name === 'batch_id') {
    const conversion = { using: `null::${wanted.type}`, isLossless: `${name} is null`, keepsOrder: false };
    return {
      ...plan,
      ...(hasType(existing, wanted) ? {} : { conversion }),
      value: name,
      isLossless: `${name} is null`,
    };
  }
  if (hasType(existing, wanted)) return { ...plan, value: name };
  const conversion = conversionOf(existing, wanted);
  if (conversion === undefined) {
    const isWhat = existing.isGenerated ? `is generated` : `is ${existing.type} and should be ${wanted.type}`;
    return { ...plan, value: `null::${wanted.type}`, obstacle: `${wanted.name} ${isWhat}: convert it yourself first` };
  }
  const value = `case when ${conversion.isLossless} then ${conversion.using} end`;
  return { ...plan, conversion, value, isLossless: conversion.isLossless };
}

/** What the rows have to say, counted in one pass over them. */
export interface RowFindings {
  readonly rows: number;
  /** By column: values that would change. */
  readonly lossy: ReadonlyMap<string, number>;
  /** By column that should be NOT NULL. */
  readonly nulls: ReadonlyMap<string, number>;
  /** Keys that are there more than once. */
  readonly repeatedKeys: number;
  /** By check constraint: rows that break it. */
  readonly broken: ReadonlyMap<string, number>;
}

/** The statements that make the table what it should be; in one ALTER TABLE, so that rows are rewritten once at most. */
export function planStatements(
  columns: readonly ColumnPlan[],
  existing: TableShape,
  wanted: TableShape,
  counts: RowFindings,
): string[] {
  const present = new Set([...existing.constraints, ...existing.indexes].map(({ name }) => name));
  const hasKey = existing.constraints.some(({ kind }) => kind === 'primary key');
  const parts = [
    ...columns.flatMap((column) => columnParts(column, counts)),
    ...wanted.constraints
      .filter(({ name, kind }) => !present.has(name) && !(kind === 'primary key' && hasKey))
      .map(
        ({ name, definition }) =>
          `add constraint ${quoteName(name)} ${definition}${isBroken(counts, name) ? ' not valid' : ''}`,
      ),
  ];
  return [
    ...(parts.length === 0 ? [] : [`alter table public.events\n  ${parts.join(',\n  ')}`]),
    ...wanted.indexes.filter(({ name }) => !present.has(name)).map(({ definition }) => definition),
  ];
}

function isBroken({ broken }: RowFindings, constraint: string): boolean {
  return (broken.get(constraint) ?? 0) > 0;
}

/** The rule that stands for NOT NULL where rows without a value are there already. */
export function notNullRule(column: string): string {
  return `events_${column}_not_null`;
}

function columnParts({ wanted, existing, conversion }: ColumnPlan, { nulls }: RowFindings): string[] {
  const name = quoteName(wanted.name);
  if (existing === undefined) {
    const rest = `${wanted.defaultValue === null ? '' : ` default ${wanted.defaultValue}`}${wanted.isNotNull ? ' not null' : ''}`;
    return [`add column ${name} ${wanted.type}${rest}`];
  }
  const parts: string[] = [];
  if (conversion !== undefined) {
    // Its default does not follow by itself where there is no implicit cast.
    if (existing.defaultValue !== null) parts.push(`alter column ${name} drop default`);
    parts.push(`alter column ${name} type ${wanted.type} using ${conversion.using}`);
  }
  const kept = existing.defaultValue === null ? null : `(${existing.defaultValue})::${wanted.type}`;
  if (wanted.defaultValue !== null && wanted.defaultValue !== existing.defaultValue)
    parts.push(`alter column ${name} set default ${wanted.defaultValue}`);
  else if (conversion !== undefined && kept !== null) parts.push(`alter column ${name} set default ${kept}`);
  if (wanted.isNotNull && !existing.isNotNull)
    parts.push(
      (nulls.get(wanted.name) ?? 0) === 0
        ? `alter column ${name} set not null`
        : `add constraint ${quoteName(notNullRule(wanted.name))} check (${name} is not null) not valid`,
    );
  return parts;
}
