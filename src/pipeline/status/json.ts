import type { Backlog } from '../../contract/backlog.js';
import type { Violation } from './limits.js';
import type { Status } from './runStatus.js';

/** The status as one JSON document; its keys are stable. */
export function statusJson(
  { at, incoming, processing, database, ledger, unavailable }: Status,
  violations: readonly Violation[] | undefined,
): Record<string, unknown> {
  return {
    at,
    incoming: backlogJson(incoming, Date.parse(at)),
    processing: backlogJson(processing, Date.parse(at)),
    database: {
      label: database,
      available: unavailable === undefined,
      ...(unavailable === undefined
        ? {}
        : { what: unavailable.facts.what, why: unavailable.facts.why, hint: unavailable.facts.hint }),
    },
    ...(ledger === undefined
      ? {}
      : {
          ledger: {
            ...ledger,
            latency: ledger.latency ?? null,
            problems: {
              ...ledger.problems,
              lastReject: ledger.problems.lastReject ?? null,
              lastQuarantine: ledger.problems.lastQuarantine ?? null,
            },
          },
        }),
    ...(violations === undefined
      ? {}
      : { check: { ok: violations.length === 0 && unavailable === undefined, violations } }),
  };
}

function backlogJson(
  { directory, files, bytes, oldestSinceMs, leftAlone, errno }: Backlog,
  nowMs: number,
): Record<string, unknown> {
  return {
    directory,
    files,
    bytes,
    oldestMs: oldestSinceMs === undefined ? null : Math.max(0, nowMs - oldestSinceMs),
    leftAlone,
    errno: errno ?? null,
  };
}
