import type { Connection } from '../../platform/db/client.js';
import { quoteName } from '../../platform/db/names.js';
import { sqlStateOf } from '../../platform/db/sqlState.js';
import { explainIfFinal } from '../../platform/db/errors.js';
import { EXIT, EcompipeError } from '../../platform/errors.js';
import { quoteText } from '../../contract/feeds/sqlNames.js';
import { arrayOf, boolean, queryRow, text } from '../../platform/db/decodeRows.js';

const READER = [
  'usage on schema ecompipe, analytics',
  'select on all tables in schema ecompipe, analytics',
  'select on public.events, public.ecompipe_migrations',
];

const LOADER = [
  ...READER,
  'insert on public.events, ecompipe.feeds',
  'insert, update on ecompipe.file_entries',
  'insert on ecompipe.batches, ecompipe.range_entries, ecompipe.column_lists, ecompipe.rejected_rows, ecompipe.duplicate_rows, ecompipe.redeliveries',
  'usage on sequence ecompipe.batches_batch_id_seq',
  'execute on function analytics.refresh()',
  // For `rejects replay`.
  'update (resolved_at, resolution, resolved_by, resolved_batch_id, resolved_key) on ecompipe.rejected_rows',
];

const ADMIN = [
  ...LOADER,
  'delete on public.events, ecompipe.file_entries, ecompipe.batches, ecompipe.range_entries, ecompipe.rejected_rows, ecompipe.duplicate_rows, ecompipe.redeliveries',
  'update on ecompipe.batches',
  'insert on ecompipe.undone_files, ecompipe.prunes',
  'update, delete on analytics.pending_batches',
  'execute on function analytics.rebuild()',
];

/** Group roles, and what each may do in a database. They belong to the cluster, so they are never dropped or altered here. */
const ROLES: Readonly<Record<string, readonly string[]>> = {
  ecompipe_reader: READER,
  ecompipe_loader: LOADER,
  ecompipe_admin: ADMIN,
};

export const ROLE_NAMES = Object.keys(ROLES);

/**
 * Creates the group roles that are missing in the cluster and grants all of them their rights in this database; part of the
 * caller's transaction.
 * @throws EcompipeError (77) when one is missing and the role of the session must not create it.
 */
export async function grantRoles(connection: Connection): Promise<void> {
  for (const name of ROLE_NAMES) await createRole(connection, name);
  await grant(connection, ROLE_NAMES);
}

/** New migrations bring new tables: the roles that this database has granted something get what is missing. */
export async function renewGrants(connection: Connection): Promise<void> {
  const found = await queryRow(connection.client, { names: arrayOf(text), isOwner: boolean }, IN_USE, [ROLE_NAMES]);
  // Whoever only looks whether something is pending may be somebody else than the owner.
  if (found.isOwner) await grant(connection, found.names);
}

const IN_USE = `
  select (select coalesce(json_agg(r.rolname), '[]') from pg_roles r
          where r.rolname = any ($1) and exists (
            select from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = 'ecompipe' and a.grantee = r.oid)) as names,
         (select bool_and(pg_has_role(relowner, 'USAGE')) from pg_class c
          where relnamespace in ('ecompipe'::regnamespace, 'analytics'::regnamespace)
            or oid in ('public.events'::regclass, 'public.ecompipe_migrations'::regclass)) as is_owner`;

async function grant({ client }: Connection, names: readonly string[]): Promise<void> {
  const statements = names.flatMap((name) =>
    (ROLES[name] ?? []).map((right) => `grant ${right} to ${quoteName(name)}`),
  );
  try {
    if (statements.length > 0) await client.query(statements.join(';\n'));
  } catch (error) {
    throw explainIfFinal('cannot grant the roles their rights', error);
  }
}

/** Somebody who does the same in another database of the cluster may be first, which is as good. */
async function createRole({ client }: Connection, name: string): Promise<void> {
  try {
    await client.query(`
      do $$
      begin
        if not exists (select from pg_roles where rolname = ${quoteText(name)}) then
          create role ${quoteName(name)} nologin;
        end if;
      exception when duplicate_object or unique_violation then null;
      end
      $$`);
  } catch (error) {
    if (sqlStateOf(error) !== '42501') throw error;
    throw new EcompipeError(EXIT.permission, {
      what: `cannot create the role ${name}`,
      why: 'this role of the database lacks the attribute CREATEROLE',
      outcome: 'no role was created and nothing was granted',
      hint: `have a role with CREATEROLE run: ${ROLE_NAMES.map((role) => `create role ${role} nologin;`).join(' ')} then do this again`,
      cause: error,
    });
  }
}
