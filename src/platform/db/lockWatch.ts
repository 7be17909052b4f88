import { connect } from 'node:net';
import type { Logger } from '../log.js';
import type { Connection } from './client.js';
import type { ConnectionSettings } from './connectionSettings.js';
import { internalsOf } from './pgInternals.js';
import { clip, printableLine } from '../printable.js';
import { integer, nullable, queryRows, type Shape, text, timestamp } from './decodeRows.js';

/** A statement that takes longer than this may be waiting for a lock: the server is asked. */
const SUSPECT_AFTER_MS = 3000;
/** After a stop, this long: whoever waits for us expects the end. */
const STOPPED_SUSPECT_AFTER_MS = 500;
/** So long after a stop any statement may go on that only takes long; then it is cancelled, too. */
const STOP_GRACE_MS = 5000;
const TICK_MS = 500;
/** A statement that only takes long is asked about less and less often. */
const MAX_ASK_INTERVAL_MS = 30_000;
/** So often a lock that is still in the way is reported again. */
const REPORT_INTERVAL_MS = 60_000;
const QUERY_CHARS = 100;

/** Who is in the way of a session of ours. */
interface Blocker {
  readonly pid: number;
  readonly blockedPid: number;
  /** The relation that is waited for, or the kind of lock where it is none. */
  readonly lock: string | null;
  readonly mode: string | null;
  readonly application: string | null;
  readonly userName: string | null;
  readonly state: string | null;
  readonly since: Date | null;
  readonly query: string | null;
}

const BLOCKER: Shape<Blocker> = {
  pid: integer,
  blockedPid: integer,
  lock: nullable(text),
  mode: nullable(text),
  application: nullable(text),
  userName: nullable(text),
  state: nullable(text),
  since: nullable(timestamp),
  query: nullable(text),
};

interface Watched {
  /** When the server is asked next about the statement under way, and which that is. */
  askAtMs: number;
  statementSinceMs: number;
}

/**
 * Looks after statements that wait for locks of others: says who is in the way, and cancels them on the server when we are
 * asked to stop. Without it a command would be silent and deaf for as long as somebody else's transaction is open.
 */
export class LockWatch {
  private readonly watched = new Map<Connection, Watched>();
  private readonly reportedAtMs = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private isAsking = false;
  private stoppedAtMs: number | undefined;

  constructor(
    private readonly settings: ConnectionSettings,
    private readonly log: Logger,
    private readonly stop: AbortSignal,
    /** Opens a connection that is not watched itself. */
    private readonly open: () => Promise<Connection>,
  ) {}

  watch(connection: Connection): void {
    this.watched.set(connection, { askAtMs: 0, statementSinceMs: 0 });
    this.timer ??= setInterval(() => void this.tick(), TICK_MS).unref();
    connection.client.once('end', () => {
      this.watched.delete(connection);
      if (this.watched.size > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    });
  }

  private async tick(): Promise<void> {
    if (this.isAsking) return;
    const nowMs = performance.now();
    if (this.stop.aborted) this.stoppedAtMs ??= nowMs;
    const suspects = [...this.watched.keys()].filter((connection) => this.isDue(connection, nowMs));
    if (suspects.length === 0) return;
    this.isAsking = true;
    try {
      const blockers = await this.findBlockers(suspects);
      if (this.stoppedAtMs !== undefined) await this.cancel(suspects, blockers, this.stoppedAtMs);
      else this.report(blockers);
    } catch {
      // No connection is to be had, or the server is gone: whoever waits for the statement hears of that by itself.
    } finally {
      this.isAsking = false;
    }
  }

  private isDue(connection: Connection, nowMs: number): boolean {
    const { statementSinceMs } = connection;
    const watched = this.watched.get(connection);
    if (statementSinceMs === undefined || watched === undefined || connection.broken) return false;
    const ageMs = nowMs - statementSinceMs;
    if (this.stoppedAtMs !== undefined) return ageMs >= STOPPED_SUSPECT_AFTER_MS;
    if (ageMs < SUSPECT_AFTER_MS) return false;
    if (watched.statementSinceMs !== statementSinceMs) watched.askAtMs = nowMs;
    watched.statementSinceMs = statementSinceMs;
    if (nowMs < watched.askAtMs) return false;
    watched.askAtMs = nowMs + Math.min(MAX_ASK_INTERVAL_MS, ageMs);
    return true;
  }

  private async findBlockers(suspects: readonly Connection[]): Promise<readonly Blocker[]> {
    const asking = await this.open();
    try {
      const rows = await queryRows(asking.client, BLOCKER, {
        text: BLOCKERS,
        values: [suspects.map(pidOf)],
        query_timeout: 5000,
      } as {
        text: string;
        values: unknown[];
      });
      // What ranges of one file wait for among themselves is our own business.
      const own = new Set([...this.watched.keys()].map(pidOf));
      return rows.filter(({ pid }) => !own.has(pid));
    } finally {
      await asking.close();
    }
  }

  private report(blockers: readonly Blocker[]): void {
    const nowMs = performance.now();
    for (const blocker of blockers) {
      const key = `${blocker.pid} ${blocker.lock}`;
      if (nowMs - (this.reportedAtMs.get(key) ?? -Infinity) < REPORT_INTERVAL_MS) continue;
      this.reportedAtMs.set(key, nowMs);
      const { pid, lock, mode, application, userName, state, since, query } = blocker;
      this.log.warn('waiting_for_lock', describe(blocker), {
        pid,
        lock,
        mode,
        application,
        userName,
        state,
        since,
        query: redact(query),
      });
    }
    for (const [key, atMs] of this.reportedAtMs)
      if (nowMs - atMs >= 2 * REPORT_INTERVAL_MS) this.reportedAtMs.delete(key);
  }

  /** What is blocked at once, whatever else is still under way after a while. */
  private async cancel(
    suspects: readonly Connection[],
    blockers: readonly Blocker[],
    stoppedAtMs: number,
  ): Promise<void> {
    const blocked = new Set(blockers.map(({ blockedPid }) => blockedPid));
    const isOver = performance.now() - stoppedAtMs >= STOP_GRACE_MS;
    for (const connection of suspects) {
      const isStill = connection.statementSinceMs !== undefined && this.watched.has(connection);
      if (isStill && (isOver || blocked.has(pidOf(connection)))) await sendCancelRequest(connection, this.settings);
    }
  }
}

const BLOCKERS = `
  select a.pid, w.pid as blocked_pid,
         coalesce(case when l.relation is not null then l.relation::regclass::text end, l.locktype) as lock, l.mode,
         a.application_name as application, a.usename as user_name, a.state, coalesce(a.xact_start, a.query_start) as since, left(a.query, 1000) as query
  from unnest($1::integer[]) as w (pid)
  cross join lateral (select distinct unnest(pg_blocking_pids(w.pid)) as pid) as b
  join pg_stat_activity a on a.pid = b.pid
  left join lateral (select * from pg_locks l where l.pid = w.pid and not l.granted limit 1) as l on true`;

function pidOf({ client }: Connection): number {
  return internalsOf(client).processID;
}

function describe({ pid, lock, mode, application, userName, state, since, query }: Blocker): string {
  const who = [
    application === null || application === '' ? undefined : application,
    userName === null ? undefined : `user ${userName}`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
  const when = since === null ? '' : `, in a transaction since ${since.toISOString()}`;
  return `waiting for a lock${lock === null ? '' : ` on ${printableLine(lock)}`}${mode === null ? '' : ` (${mode})`}: the session with pid ${pid} is in the way (${printableLine(who)}${when}, ${state ?? 'state unknown'})${
    query === null || query === ''
      ? ''
      : `\n  its ${state === 'active' ? 'statement' : 'last statement'}: ${redact(query)}`
  }\n  hint: wait for its transaction to end, or terminate it: select pg_terminate_backend(${pid})`;
}

/** The start of a statement in one line, without what its literals say: they may hold passwords and other people's data. */
function redact(query: string | null): string {
  const text = (query ?? '')
    .replace(/\$(\w*)\$[^]*?(\$\1\$|$)/g, '$$…$$')
    .replace(/'(?:[^']|'')*('|$)/g, "'…'")
    .replace(/\s+/g, ' ')
    .trim();
  return clip(text, QUERY_CHARS + 1);
}

/** The protocol's own request (PostgreSQL manual, 55.2.9): needs no login, so it works when no connection is left. */
const CANCEL_REQUEST_CODE = 80_877_102;

async function sendCancelRequest(
  { client }: Connection,
  { host: name, hostAddress, port }: ConnectionSettings,
): Promise<void> {
  const { processID, secretKey } = internalsOf(client);
  const request = Buffer.alloc(16);
  [16, CANCEL_REQUEST_CODE, processID, secretKey].forEach((value, index) => request.writeInt32BE(value, index * 4));
  const host = hostAddress ?? name;
  await new Promise<void>((resolve) => {
    const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
    const timer = setTimeout(() => socket.destroy(), 5000);
    socket.once('connect', () => socket.end(request));
    socket.once('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
