import type { Connection } from '../../../platform/db/client.js';
import { quoteName } from '../../../platform/db/names.js';
import {
  describeSchema,
  nameOf,
  quotedName,
  type ColumnDescription,
  type NamedDefinition,
  type SchemaDescription,
  type TableDescription,
} from './describeSchema.js';
import { queryRow, text } from '../../../platform/db/decodeRows.js';

/** Makes the schemas and sequences that the migrations have not made. */
export async function createSequences(
  { client }: Connection,
  { schemas, sequences }: SchemaDescription,
): Promise<void> {
  for (const schema of schemas) await client.query(`create schema if not exists ${quoteName(schema)}`);
  for (const sequence of sequences)
    if (sequence.belonging !== 'i')
      await client.query(`create sequence if not exists ${quotedName(sequence)} ${sequence.options}`);
}

/**
 * Makes the tables ready for their rows: those that the migrations have made get the columns that they have in the dump,
 * lose constraints that it does not have, and are emptied; the others are created. No trigger runs until `finishTables`.
 */
export async function prepareTables(
  connection: Connection,
  present: readonly TableDescription[],
  wanted: readonly TableDescription[],
): Promise<void> {
  const { client } = connection;
  for (const table of wanted) {
    const name = quotedName(table);
    const existing = present.find((candidate) => nameOf(candidate) === nameOf(table));
    if (existing === undefined)
      await client.query(`create table ${name} (${table.columns.map(columnDefinition).join(', ')})`);
    else await alterTable(connection, existing, table);
    await client.query(`alter table ${name} disable trigger user`);
  }
  // Migrations have filled some of them; all at once, as they refer to each other.
  if (wanted.length > 0) await client.query(`truncate ${wanted.map(quotedName).join(', ')}`);
}

async function alterTable({ client }: Connection, existing: TableDescription, wanted: TableDescription): Promise<void> {
  const name = quotedName(existing);
  for (const constraint of missingFrom(wanted.constraints, existing.constraints))
    await client.query(`alter table ${name} drop constraint ${quoteName(constraint.name)}`);
  for (const index of missingFrom(wanted.indexes, existing.indexes))
    await client.query(`drop index ${quotedName({ schema: existing.schema, name: index.name })}`);
  for (const column of existing.columns)
    if (!wanted.columns.some((candidate) => candidate.name === column.name))
      await client.query(`alter table ${name} drop column ${quoteName(column.name)}`);
  for (const column of wanted.columns) {
    const old = existing.columns.find((candidate) => candidate.name === column.name);
    if (old === undefined) await client.query(`alter table ${name} add column ${columnDefinition(column)}`);
    else for (const change of changesOf(old, column)) await client.query(`alter table ${name} ${change}`);
  }
}

/** Adds what is quicker to add when the rows are there, or needs rows of other tables, and lets triggers run again. */
export async function finishTables(connection: Connection, wanted: readonly TableDescription[]): Promise<void> {
  const { client } = connection;
  // A table can't be altered while a deferred check of its rows is open.
  await client.query('set constraints all immediate');
  const { tables } = await describeSchema(connection);
  const present = new Map(tables.map((table) => [nameOf(table), table]));
  const missing = wanted.map((table) => {
    const { constraints = [], indexes = [] } = present.get(nameOf(table)) ?? {};
    return {
      name: quotedName(table),
      constraints: missingFrom(constraints, table.constraints),
      indexes: missingFrom(indexes, table.indexes),
    };
  });
  const isForeignKey = ({ definition }: NamedDefinition): boolean => definition.startsWith('FOREIGN KEY');
  // Foreign keys last: they need the keys of all tables.
  for (const late of [false, true])
    for (const { name, constraints } of missing)
      for (const constraint of constraints)
        if (isForeignKey(constraint) === late)
          await client.query(
            `alter table ${name} add constraint ${quoteName(constraint.name)} ${constraint.definition}`,
          );
  for (const { name, indexes } of missing) {
    for (const { definition } of indexes) await client.query(definition);
    await client.query(`alter table ${name} enable trigger user`);
  }
}

/** Gives the sequences what they had, and those of `serial` columns to their columns. */
export async function setSequences({ client }: Connection, { sequences }: SchemaDescription): Promise<void> {
  for (const sequence of sequences) {
    const { belonging, table, column, options, lastValue } = sequence;
    let name = quotedName(sequence);
    if (table !== null && column !== null) {
      // The server names those of identity columns itself.
      if (belonging === 'i') name = await identitySequence(client, table, column);
      else await client.query(`alter sequence ${name} owned by ${table}.${quoteName(column)}`);
    }
    await client.query(`alter sequence ${name} ${options}`);
    if (lastValue !== null) await client.query('select setval($1::regclass, $2::bigint)', [name, lastValue]);
  }
}

async function identitySequence(client: Connection['client'], table: string, column: string): Promise<string> {
  const { name } = await queryRow(client, { name: text }, 'select pg_get_serial_sequence($1, $2) as name', [
    table,
    column,
  ]);
  return name;
}

/** Those of `candidates` that are not among `present`, or are defined otherwise there. */
function missingFrom(
  present: readonly NamedDefinition[],
  candidates: readonly NamedDefinition[],
): readonly NamedDefinition[] {
  return candidates.filter(
    ({ name, definition }) => !present.some((other) => other.name === name && other.definition === definition),
  );
}

function columnDefinition(column: ColumnDescription): string {
  const { name, type, collation, notNull, generated, identity } = column;
  const parts = [quoteName(name), type];
  if (collation !== null) parts.push(`collate ${collation}`);
  if (identity !== '') parts.push(`generated ${identity === 'a' ? 'always' : 'by default'} as identity`);
  else if (generated !== '')
    parts.push(`generated always as (${column.default ?? ''}) ${generated === 's' ? 'stored' : 'virtual'}`);
  else if (column.default !== null) parts.push(`default ${column.default}`);
  if (notNull) parts.push('not null');
  return parts.join(' ');
}

/** What makes a column that a migration has made the one of the dump. */
function changesOf(existing: ColumnDescription, wanted: ColumnDescription): string[] {
  const column = `alter column ${quoteName(wanted.name)}`;
  const changes: string[] = [];
  if (existing.type !== wanted.type || existing.collation !== wanted.collation)
    changes.push(`${column} type ${wanted.type}${wanted.collation === null ? '' : ` collate ${wanted.collation}`}`);
  if (existing.notNull !== wanted.notNull) changes.push(`${column} ${wanted.notNull ? 'set' : 'drop'} not null`);
  if (wanted.generated === '' && wanted.identity === '' && existing.default !== wanted.default)
    changes.push(wanted.default === null ? `${column} drop default` : `${column} set default ${wanted.default}`);
  return changes;
}
