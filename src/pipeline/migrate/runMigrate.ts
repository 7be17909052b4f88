import type { Connection } from '../../platform/db/client.js';
import { assertUtf8 } from '../../platform/db/encoding.js';
import { explainIfFinal } from '../../platform/db/errors.js';
import { withConnection, type Database } from '../../platform/db/target.js';
import { withTransaction } from '../../platform/db/transaction.js';
import { countOf } from '../../platform/format.js';
import type { Logger } from '../../platform/log.js';
import {
  adoptEvents,
  hasForeignEvents,
  listFindings,
  logAdoption,
  refuseForeignEvents,
  type Adoption,
} from './adopt/adoptEvents.js';
import { readWantedShape } from './adopt/tableShape.js';
import { assertHistory, readApplied, loadMigrations, type Migration } from './migrations.js';
import { grantRoles, renewGrants, ROLE_NAMES } from './roles.js';
import { queryRows, text } from '../../platform/db/decodeRows.js';
import { quoteName } from '../../platform/db/names.js';
import { sqlStateOf } from '../../platform/db/sqlState.js';

export type MigrateMode = 'apply' | 'status' | 'dry-run';

export interface MigrateResult {
  readonly database: string;
  readonly mode: MigrateMode;
  /** What was done with a table `public.events` that was there before, or would be. */
  readonly adoption?: Adoption;
  /** Group roles that were granted their rights, or would be. */
  readonly roles?: readonly string[];
  readonly migrations: readonly {
    readonly name: string;
    readonly state: 'applied' | 'pending' | 'new' | 'would apply';
  }[];
}

/** Key of the advisory lock that lets one `migrate` work at a time (any constant; this is "ecompipe" in ASCII, shortened). */
export const LOCK_KEY = 0x65636f6d;

const REGISTRY = `
  create table if not exists public.ecompipe_migrations (
    version    integer primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default now()
  )`;

export interface MigrateContext {
  readonly log: Logger;
  /** Take over a table `public.events` that is there already, where that loses nothing. @default false */
  readonly adopt?: boolean;
  /** Create the group roles and grant them their rights in this database. @default false */
  readonly roles?: boolean;
}

/**
 * Brings the schema to the newest version, each migration in a transaction of its own, or shows what would happen.
 * Several at once are fine: the later ones wait and find nothing left to do.
 * @throws IntegrityError when an applied migration was edited since, or the schema is newer than this program.
 * @throws EcompipeError (2) when there is a `public.events` of somebody else's, and it is not to be adopted or can't be.
 */
export async function runMigrate(
  database: Database,
  mode: MigrateMode,
  { log, adopt = false, roles = false }: MigrateContext,
): Promise<MigrateResult> {
  const migrations = await loadMigrations();
  return await withConnection(database, 'cannot migrate', async (connection) => {
    await assertUtf8(connection);
    await connection.client.query(`select pg_advisory_lock(${LOCK_KEY})`);
    const applied = await readApplied(connection);
    assertHistory(applied, migrations);
    const pending = migrations.slice(applied.length);
    const task = { pending, isFirst: applied.length === 0, log, adopt, roles };
    const adoption =
      mode === 'apply'
        ? await applyForGood(connection, task)
        : mode === 'dry-run'
          ? await tryAll(connection, task)
          : undefined;
    const states = { apply: 'new', status: 'pending', 'dry-run': 'would apply' } as const;
    return {
      database: database.label,
      mode,
      ...(adoption === undefined ? {} : { adoption }),
      ...(roles && mode !== 'status' ? { roles: ROLE_NAMES } : {}),
      migrations: migrations.map(({ name }, index) => ({
        name,
        state: index < applied.length ? 'applied' : states[mode],
      })),
    };
  });
}

async function apply(connection: Connection, migration: Migration, log: Logger): Promise<void> {
  await withTransaction(connection, () => applyInside(connection, migration));
  log.info('migration_applied', `applied ${migration.name}`, { name: migration.name });
}

/** Applies a migration in the transaction that is open. */
export async function applyInside({ client }: Connection, migration: Migration): Promise<void> {
  try {
    await client.query(REGISTRY);
    await client.query(migration.sql);
    await client.query('insert into public.ecompipe_migrations (version, name, checksum) values ($1, $2, $3)', [
      migration.version,
      migration.name,
      migration.checksum,
    ]);
  } catch (error) {
    throw explainIfFinal(`migration ${migration.name} failed`, error);
  }
}

async function applyAll(connection: Connection, pending: readonly Migration[]): Promise<void> {
  for (const migration of pending) await applyInside(connection, migration);
}

interface Task extends Required<MigrateContext> {
  readonly pending: readonly Migration[];
  /** Nothing of ours is in the database yet. */
  readonly isFirst: boolean;
}

async function applyForGood(connection: Connection, task: Task): Promise<Adoption | undefined> {
  const { pending, log } = task;
  const takeOver = await adoptionOf(connection, task);
  let adoption: Adoption | undefined;
  if (takeOver === undefined) for (const migration of pending) await apply(connection, migration, log);
  else {
    adoption = await withTransaction(connection, takeOver);
    for (const { name } of pending) log.info('migration_applied', `applied ${name}`, { name });
    logAdoption(adoption, log);
  }
  // What migration 014 or an added type of event changed is not yet checked against the rows that are there.
  await validateConstraints(connection, log);
  await withTransaction(connection, () => (task.roles ? grantRoles : renewGrants)(connection));
  return adoption;
}

/** All of it in one transaction, which is rolled back. */
async function tryAll(connection: Connection, task: Task): Promise<Adoption | undefined> {
  const takeOver = await adoptionOf(connection, task);
  await connection.client.query('begin');
  try {
    const adoption = await takeOver?.();
    if (takeOver === undefined) await applyAll(connection, task.pending);
    if (task.roles) await grantRoles(connection);
    return adoption;
  } finally {
    await connection.client.query('rollback').catch(() => undefined);
  }
}

/**
 * How to migrate where somebody else's `public.events` is in the way; undefined where none is. All migrations and the
 * adoption are one transaction: a table that is half ours never exists.
 */
async function adoptionOf(
  connection: Connection,
  { pending, isFirst, adopt }: Task,
): Promise<(() => Promise<Adoption>) | undefined> {
  if (!isFirst || !(await hasForeignEvents(connection))) return undefined;
  if (!adopt) await refuseForeignEvents(connection, pending);
  const wanted = await readWantedShape(connection, pending);
  return () => adoptEvents(connection, wanted, () => applyAll(connection, pending));
}

/** The result for people. */
export function describeMigrations(result: MigrateResult): string {
  const changed = result.migrations.filter(({ state }) => state !== 'applied').length;
  const summary = {
    apply: changed === 0 ? 'the schema is up to date' : `${changed} applied`,
    status: `${changed} pending`,
    'dry-run': `${changed} would apply; nothing was changed`,
  }[result.mode];
  const { adoption } = result;
  return [
    `${result.database}: ${summary}`,
    ...(adoption === undefined
      ? []
      : [
          `  public.events ${result.mode === 'apply' ? 'was' : 'would be'} adopted with its ${countOf(adoption.rows, 'row')}:`,
          listFindings(adoption.findings),
        ]),
    ...(result.roles === undefined
      ? []
      : [
          `  ${result.roles.join(', ')} ${result.mode === 'apply' ? 'have' : 'would have'} their rights in this database`,
        ]),
    ...result.migrations.map(({ name, state }) => `  ${state.padEnd(11)} ${name}`),
  ].join('\n');
}

/**
 * Looks whether the rows that are there meet the constraints that were added without a look; loads go on meanwhile. One
 * that they break holds for new rows all the same, so that is a warning: an adopted table keeps such rows.
 */
export async function validateConstraints({ client }: Connection, log: Logger): Promise<void> {
  const rows = await queryRows(
    client,
    { name: text },
    `select conname as name from pg_constraint
     where conrelid = 'public.events'::regclass and contype = 'c' and not convalidated
       and to_jsonb(pg_constraint) ->> 'conenforced' is distinct from 'false'
     order by conname`,
  );
  const names = rows.map(({ name }) => name);
  // One statement reads the rows once, however many constraints it is about. It fails as a whole.
  if (names.length === 0 || (await rowsMeet(client, names))) return;
  for (const name of names)
    if (names.length === 1 || !(await rowsMeet(client, [name])))
      log.warn('constraint_not_validated', `rows of public.events break ${name}: it holds for new rows only`, { name });
}

async function rowsMeet(client: Connection['client'], constraints: readonly string[]): Promise<boolean> {
  const parts = constraints.map((name) => `validate constraint ${quoteName(name)}`);
  try {
    await client.query(`alter table public.events ${parts.join(', ')}`);
    return true;
  } catch (error) {
    if (sqlStateOf(error) !== '23514') throw error;
    return false;
  }
}
