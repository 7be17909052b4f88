import type { Connection } from '../../../platform/db/client.js';
import { isRefusal, sqlStateOf } from '../../../platform/db/sqlState.js';
import { BUILT_IN, expressionNames, namedFields, type BoundFeed } from '../../../contract/feeds/bindFeed.js';
import { compileFeed } from '../../../contract/feeds/compile.js';
import type { Feed, FeedPosition } from '../../../contract/feeds/feed.js';
import { sameName } from '../../../contract/feeds/sqlNames.js';
import { didYouMean } from '../../../platform/didYouMean.js';
import { EcompipeError } from '../../../platform/errors.js';
import { itemTypeOf, NO_ITEM, prepareSource } from './feedPlan.js';
import { readTargetTable, type TargetTable } from '../targetTable.js';

/** A feed against the database: its table, the fields that its SQL needs, and all that is wrong. */
export interface CheckedFeed {
  readonly table: TargetTable | undefined;
  readonly sqlFields: readonly string[];
  readonly problems: readonly string[];
}

/** Checks a feed in a transaction of its own, which changes nothing. */
export async function checkFeed(connection: Connection, feed: Feed): Promise<CheckedFeed> {
  return await checkBetween(connection, feed, 'begin', 'rollback');
}

/** As {@link checkFeed}, within the caller's transaction. */
export async function checkFeedWithin(connection: Connection, feed: Feed): Promise<CheckedFeed> {
  return await checkBetween(connection, feed, SAVE, UNDO);
}

async function checkBetween(connection: Connection, feed: Feed, begin: string, end: string): Promise<CheckedFeed> {
  await connection.client.query(begin);
  try {
    return await new FeedCheck(connection, feed).run();
  } finally {
    await connection.client.query(end);
  }
}

const SAVE = 'savepoint ecompipe_check';
const UNDO = 'rollback to savepoint ecompipe_check; release savepoint ecompipe_check';

const UNDEFINED_COLUMN = '42703';

class FeedCheck {
  private readonly problems: string[] = [];
  /** Columns of which something worse is known than what the server says. */
  private readonly faulty = new Set<string>();

  constructor(
    private readonly connection: Connection,
    private readonly feed: Feed,
  ) {}

  async run(): Promise<CheckedFeed> {
    const { feed } = this;
    const table = await this.readTable();
    if (table !== undefined) this.checkColumns(table);
    await this.checkZones();
    const named = namedFields(feed);
    if (feed.format.header !== 'fromFile') this.checkNames(named, feed.format.header);
    const candidates = this.candidates(named);
    const fields = feed.format.header === 'fromFile' ? [...named, ...candidates] : feed.format.header;
    await this.checkExpressions(this.bind(fields));
    const needed =
      feed.format.header === 'fromFile' && this.problems.length === 0 ? await this.neededOf(named, candidates) : [];
    return { table, sqlFields: needed, problems: this.problems };
  }

  private report({ line, column }: FeedPosition, problem: string): void {
    this.problems.push(`${this.feed.file}:${line}:${column}: ${problem}`);
  }

  private async readTable(): Promise<TargetTable | undefined> {
    const { table } = this.feed;
    const start = { line: 1, column: 1 };
    try {
      return await this.guarded(() => readTargetTable(this.connection, table));
    } catch (error) {
      if (error instanceof EcompipeError) this.report(start, error.facts.what);
      else if (isCompileError(error)) this.report(start, `table: ${error.message}`);
      else throw error;
      return undefined;
    }
  }

  private checkColumns({ name: table, header }: TargetTable): void {
    const made = this.feed.columns.map(({ name }) => name);
    for (const { name, position } of this.feed.columns)
      if (!header.known.includes(name))
        this.report(position, `${table} has no column ${name}${didYouMean(name, header.known)}`);
    const missing = header.required.filter((name) => !made.includes(name));
    if (missing.length > 0)
      this.report(
        this.feed.columns[0]?.position ?? { line: 1, column: 1 },
        `${table} needs ${missing.join(', ')}, which no column of the feed makes`,
      );
  }

  /** Where the feed says which fields there are, none can be meant that is not among them. */
  private checkNames(named: readonly string[], fields: readonly string[]): void {
    for (const name of named) {
      if (fields.some((field) => sameName(field, name))) continue;
      const user = this.feed.columns.find(
        ({ source }) =>
          ('from' in source && source.from === name) ||
          (source.kind === 'derive' && source.parts.some((part) => 'field' in part && part.field === name)),
      );
      if (user !== undefined) this.faulty.add(user.name);
      this.report(
        user?.position ?? { line: 1, column: 1 },
        `there is no field ${JSON.stringify(name)}${didYouMean(name, fields)}`,
      );
    }
  }

  private async checkZones(): Promise<void> {
    for (const { name, source, position } of this.feed.columns) {
      if (source.kind !== 'time') continue;
      await this.attempt(position, `column ${name}`, () =>
        this.connection.client.query('select timezone($1, now())', [source.zone]),
      );
    }
  }

  /** What the SQL may mean by a field: of a header that is not known yet, anything. */
  private candidates(named: readonly string[]): string[] {
    return [...expressionNames(this.feed)].filter(
      (name) => !BUILT_IN.includes(name) && !named.some((field) => field.trim() === name),
    );
  }

  private bind(fields: readonly string[]): BoundFeed {
    return { feed: this.feed, fields, unused: [], direct: undefined };
  }

  private async checkExpressions(bound: BoundFeed): Promise<void> {
    const { where, rows, columns } = this.feed;
    const compiled = compileFeed(bound, false);
    await prepareSource(this.connection, bound, NO_ITEM);
    if (where !== undefined)
      await this.attempt(where.position, `where (${where.sql.trim()})`, () =>
        this.connection.client.query(`select from ${compiled.records('false')} where (${where.sql}\n) limit 0`),
      );
    if (rows !== undefined) {
      const found = await this.attempt(rows.position, `rows (${rows.sql.trim()})`, () =>
        itemTypeOf(this.connection, compiled),
      );
      if (found === undefined) return;
      await prepareSource(this.connection, bound, found);
    }
    const relation = compiled.makesRows ? compiled.madeRows('false') : compiled.records('false');
    for (const [index, { name, source, position }] of columns.entries()) {
      if (this.faulty.has(name)) continue;
      const sql = compiled.columns[index]?.sql ?? 'null';
      const shown = source.kind === 'sql' ? ` (${source.sql.trim()})` : '';
      await this.attempt(position, `column ${name}${shown}`, () =>
        this.connection.client.query(`select ${sql} from ${relation} limit 0`),
      );
    }
  }

  /** Which of the names in its SQL are fields: those without which it does not compile. */
  private async neededOf(named: readonly string[], candidates: readonly string[]): Promise<string[]> {
    const needed: string[] = [];
    for (const candidate of candidates) {
      const others = candidates.filter((name) => name !== candidate);
      const without = new FeedCheck(this.connection, this.feed);
      await without.checkExpressions(this.bind([...named, ...others]));
      if (without.problems.length > 0) needed.push(candidate);
    }
    return needed;
  }

  private async attempt<T>(position: FeedPosition, what: string, action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.guarded(action);
    } catch (error) {
      if (!isCompileError(error)) throw error;
      const hint =
        sqlStateOf(error) === UNDEFINED_COLUMN && this.feed.format.header !== 'fromFile'
          ? `; its fields are ${this.feed.format.header.join(', ')}`
          : '';
      this.report(position, `${what}: ${error.message}${hint}`);
      return undefined;
    }
  }

  private async guarded<T>(action: () => Promise<T>): Promise<T> {
    const { client } = this.connection;
    await client.query(SAVE);
    try {
      const result = await action();
      await client.query('release savepoint ecompipe_check');
      return result;
    } catch (error) {
      if (isCompileError(error)) await client.query(UNDO);
      throw error;
    }
  }
}

/** The server's word about a statement, and not about itself. */
function isCompileError(error: unknown): error is Error {
  return error instanceof Error && (isRefusal(error) || /^(42|0A|3F|2F|21)/.test(sqlStateOf(error) ?? ''));
}
