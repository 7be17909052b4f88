import type { Connection } from '../../platform/db/client.js';
import type { ExpectedColumns } from '../../contract/csv/header.js';
import { EcompipeError, EXIT } from '../../platform/errors.js';
import { arrayOf, boolean, jsonObject, nullable, queryRow, text } from '../../platform/db/decodeRows.js';

/** A column that a file may bring. */
export interface TargetColumn {
  readonly name: string;
  /** SQL type with its modifier, such as `numeric(12,2)`. */
  readonly type: string;
  /** A header must have it: it is NOT NULL, and nothing else fills it. */
  readonly isRequired: boolean;
  /** Its texts are dates or times, of which some can be read in two ways. */
  readonly isTemporal: boolean;
}

/** A table that files are loaded into, as the catalogue describes it. */
export interface TargetTable {
  /** As `schema.table`, quoted where that is needed. */
  readonly name: string;
  /** Another one means that the table's columns, constraints or triggers changed. */
  readonly fingerprint: string;
  readonly columns: readonly TargetColumn[];
  /** What a file's header may and must name. */
  readonly header: ExpectedColumns;
  /** Those of its primary key, in order. */
  readonly keyColumns: readonly string[];
  /** Its constraints that would wait for the commit; quoted, qualified names. */
  readonly deferrable: readonly string[];
  /** COPY does to it what INSERT does: it has no rules, and no row security for us. */
  readonly takesCopy: boolean;
  /** Loading a row runs functions that are not PostgreSQL's or ours: those of triggers, constraints, defaults and types. */
  readonly runsUserCode: boolean;
}

/** Where events go. */
export const EVENTS_TABLE = 'public.events';

/** What is asked about `{name}`; one query, cheap enough for every staged batch. */
const DESCRIBE = `
  select fingerprint, columns, key_columns, deferred as deferrable, takes_copy,
         ecompipe.runs_user_code($1::regclass) as runs_user_code
  from ecompipe.describe_table($1::regclass)`;

/** Reads what the catalogue says of a table now. @throws EcompipeError (2) where it can't be a target. */
export async function readTargetTable({ client }: Connection, name: string): Promise<TargetTable> {
  const { keyColumns, ...table } = await queryRow(
    client,
    {
      fingerprint: text,
      columns: arrayOf(jsonObject({ name: text, type: text, isRequired: boolean, isTemporal: boolean })),
      deferrable: arrayOf(text),
      takesCopy: boolean,
      runsUserCode: boolean,
      keyColumns: nullable(arrayOf(text)),
    },
    { name: 'describe_target', text: DESCRIBE, values: [name] },
  );
  if (keyColumns === null)
    throw new EcompipeError(EXIT.usage, {
      what: `${name} has no primary key`,
      why: 'without one, a repeated row cannot be told from a new one',
      hint: `alter table ${name} add primary key (…)`,
    });
  const header = {
    known: table.columns.map((column) => column.name),
    required: table.columns.filter(({ isRequired }) => isRequired).map((column) => column.name),
  };
  return { ...table, name, keyColumns, header };
}

/** A target table that is looked at again while it is loaded into, as its owner may change it. */
export class Target {
  constructor(private current: TargetTable) {}

  static async open(connection: Connection, name = EVENTS_TABLE): Promise<Target> {
    return new Target(await readTargetTable(connection, name));
  }

  get table(): TargetTable {
    return this.current;
  }

  /** Reads it again. What did not change stays the same value. */
  async refresh(connection: Connection): Promise<void> {
    const table = await readTargetTable(connection, this.current.name);
    const { fingerprint, takesCopy, runsUserCode } = this.current;
    if (table.fingerprint !== fingerprint || table.takesCopy !== takesCopy || table.runsUserCode !== runsUserCode)
      this.current = table;
  }
}
