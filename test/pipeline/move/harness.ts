import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { silentLogger } from '../../../src/platform/log.js';
import type { MoveEvent, MoveResult, MoveSettings } from '../../../src/pipeline/move/moveEvents.js';
import { runMove } from '../../../src/pipeline/move/runMove.js';
import { temporaryDirectory } from '../../platform/files/directories.js';

type EventOf<Type extends MoveEvent['type']> = Extract<MoveEvent, { type: Type }>;

export interface RunningMover {
  readonly events: MoveEvent[];
  /** Resolves with the first event of a type, past or to come, from index `since` on. Rejects when the mover ends first. */
  readonly event: <Type extends MoveEvent['type']>(type: Type, since?: number) => Promise<EventOf<Type>>;
  readonly drain: () => Promise<MoveResult>;
  readonly stop: () => Promise<MoveResult>;
  readonly end: Promise<MoveResult>;
}

/** Two new directories, and settings that leave waking up to file-system notices or due times. */
export function moveSettings(t: TestContext, overrides: Partial<MoveSettings> = {}): MoveSettings {
  const home = temporaryDirectory(t);
  const from = path.join(home, 'in');
  mkdirSync(from);
  return { from, to: path.join(home, 'out'), settleMs: 30, pollIntervalMs: 60_000, ...overrides };
}

/** Starts a mover in this process; it is stopped at the end of the test. `onEvent` runs inside the mover's own emit. */
export function startMover(
  t: TestContext,
  settings: MoveSettings,
  onEvent: (event: MoveEvent) => void = () => undefined,
  isDraining = false,
): RunningMover {
  const [stopping, draining] = [new AbortController(), new AbortController()];
  if (isDraining) draining.abort();
  const events: MoveEvent[] = [];
  const listeners = new Set<() => void>();
  const emit = (event: MoveEvent): void => {
    events.push(event);
    onEvent(event);
    for (const listener of listeners) listener();
  };
  const end = runMove(settings, { stop: stopping.signal, drain: draining.signal, log: silentLogger, emit });
  end.catch(() => undefined);
  t.after(async () => {
    stopping.abort();
    await end.catch(() => undefined);
  });
  const first = <Type extends MoveEvent['type']>(type: Type, since: number): EventOf<Type> | undefined =>
    events.slice(since).find((event): event is EventOf<Type> => event.type === type);
  return {
    events,
    end,
    event: (type, since = 0) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = first(type, since);
          if (found === undefined) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        look();
        end.then(() => reject(new Error(`the mover ended before ${type}`)), reject);
      }),
    drain: () => {
      draining.abort();
      return end;
    },
    stop: () => {
      stopping.abort();
      return end;
    },
  };
}

/** Moves what is there, as `--once` does. */
export function moveOnce(
  t: TestContext,
  settings: MoveSettings,
  onEvent?: (event: MoveEvent) => void,
): Promise<MoveResult> {
  return startMover(t, settings, onEvent, true).end;
}

export function put(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(directory, name), content);
}
