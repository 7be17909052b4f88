import type { Connection } from '../../../platform/db/client.js';
import { explainIfFinal } from '../../../platform/db/errors.js';
import { EXIT, EcompipeError } from '../../../platform/errors.js';
import { countOf } from '../../../platform/format.js';
import type { Logger } from '../../../platform/log.js';
import { judgeTable, type Judgement } from './judge.js';
import type { Migration } from '../migrations.js';
import type { AdoptionFinding } from './plan.js';
import { readWantedShape, type TableShape } from './tableShape.js';
import { boolean, queryRows, text } from '../../../platform/db/decodeRows.js';

/** What was done with a table that was there before us, or would be. */
export interface Adoption {
  readonly rows: number;
  readonly findings: readonly AdoptionFinding[];
}

/** Whether a table that is not of our making has the name of ours. Only asked where no migration was applied. */
export async function hasForeignEvents({ client }: Connection): Promise<boolean> {
  const rows = await queryRows(
    client,
    { kind: text, isOwner: boolean, owner: text },
    `select relkind as kind, pg_has_role(relowner, 'USAGE') as is_owner, pg_get_userbyid(relowner) as owner
     from pg_class where oid = to_regclass('public.events')`,
  );
  const [found] = rows;
  if (found === undefined) return false;
  if (found.kind !== 'r')
    throw new EcompipeError(EXIT.usage, {
      what: `public.events is ${KINDS[found.kind] ?? 'not a table'}`,
      why: 'ecompipe needs that name for its own table',
      outcome: 'nothing was changed',
      hint: 'rename it or move it to another schema, or use another database (docs/migrating.md)',
    });
  if (!found.isOwner)
    throw new EcompipeError(EXIT.permission, {
      what: `the table public.events already exists and belongs to ${found.owner}`,
      outcome: 'nothing was changed',
      hint: 'run this as that role, or a member of it, to see whether it can be adopted; or use another database (docs/migrating.md)',
    });
  return true;
}

const KINDS: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
  p: 'a partitioned table',
  S: 'a sequence',
  i: 'an index',
  c: 'a type',
};

/** Says what of the existing table fits, and the ways out. Locks nothing that readers or writers wait for. */
export async function refuseForeignEvents(connection: Connection, pending: readonly Migration[]): Promise<never> {
  const wanted = await readWantedShape(connection, pending);
  throw refusal(await judgeTable(connection.client, wanted));
}

/**
 * Takes the existing table over, part of the caller's transaction: it is set aside while the migrations make an empty one,
 * whose place it then takes. Others wait for the table meanwhile.
 * @throws EcompipeError (2) with everything that stands in the way.
 */
export async function adoptEvents(
  connection: Connection,
  wanted: TableShape,
  migrate: () => Promise<void>,
): Promise<Adoption> {
  const { client } = connection;
  // Before it is judged, so that nobody writes a row that nobody looked at.
  await client.query('lock table public.events in access exclusive mode');
  const judgement = await judgeTable(client, wanted);
  if (judgement.findings.some(({ kind }) => kind === 'obstacle')) throw refusal(judgement);
  try {
    await client.query(`create schema ${ASIDE}`);
    await client.query(`alter table public.events set schema ${ASIDE}`);
    await migrate();
    await client.query('drop table public.events');
    await client.query(`alter table ${ASIDE}.events set schema public`);
    await client.query(`drop schema ${ASIDE}`);
    for (const statement of judgement.statements) await client.query(statement);
  } catch (error) {
    throw explainIfFinal('public.events cannot be adopted', error);
  }
  return { rows: judgement.rows, findings: judgement.findings };
}

const ASIDE = 'ecompipe_aside';

function refusal({ rows, findings }: Judgement): EcompipeError {
  const obstacles = findings.filter(({ kind }) => kind === 'obstacle');
  return new EcompipeError(EXIT.usage, {
    what:
      `there is a table public.events (${countOf(rows, 'row')}) that is not ours` +
      (obstacles.length === 0
        ? ', and it can be adopted'
        : `, and ${countOf(obstacles.length, 'thing keeps', 'things keep')} it from being adopted`) +
      `:\n${listFindings(findings)}`,
    outcome: 'nothing was changed',
    hint:
      (obstacles.length === 0
        ? '`ecompipe migrate --adopt` takes it over (see --dry-run); or '
        : 'fix what is marked with ✗, then `ecompipe migrate --adopt`; or ') +
      'use another database, or move it to another schema and load into it by a feed with its own table: docs/migrating.md',
  });
}

const MARKS = { obstacle: '✗', change: '~', remark: '!', fits: '=' } as const;

/** What stands in the way first, what fits last. */
export function listFindings(findings: readonly AdoptionFinding[]): string {
  const order = Object.keys(MARKS);
  return [...findings]
    .sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
    .map(({ kind, text }) => `    ${MARKS[kind]} ${text}`)
    .join('\n');
}

/** What a person must know is also in the log, as standard output may be nobody's to read. */
export function logAdoption({ rows, findings }: Adoption, log: Logger): void {
  log.info('events_adopted', `adopted public.events with its ${countOf(rows, 'row')}`, { rows });
  for (const { kind, text } of findings) if (kind === 'remark') log.warn('adoption_remark', text, { text });
  if (rows > 0) log.warn('adoption_remark', ROWS_WITHOUT_BATCH, { text: ROWS_WITHOUT_BATCH });
}

const ROWS_WITHOUT_BATCH =
  'the existing rows have no batch_id: the analytics views leave them out, also after analytics.rebuild()';
