import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestDatabase } from '../../test/helpers/postgres.js';
import type { RestartableServer, Shutdown } from '../../test/helpers/restartableServer.js';
import type { Actor, Role } from './actor.js';
import { PRUNE_OLD } from './foreignShop.js';
import { LossMaker, type LossCount } from './losses.js';
import type { Pipeline } from './pipeline.js';
import { FAULT_KINDS, type FaultKind, type LossKind, type PlannedFault } from './schedule.js';

/** How long a fault waits for somebody, or old events, to fall on. */
const PATIENCE_MS = 60_000;

/** Looks again until there is something, or patience ends. */
async function patiently<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T | undefined> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined || performance.now() > deadlineMs) return found;
    await delay(50);
  }
}

/** Makes faults and counts those that it could make. */
export class FaultMaker {
  readonly made = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  private readonly pending = new Set<Promise<void>>();
  /** The server can only be stopped once at a time. */
  private serverTurn: Promise<void> = Promise.resolve();
  /** What a stream has seen committed must stay in its checkpoint until it has noticed that the database lost that. */
  private checkpointTurn: Promise<unknown> = Promise.resolve();
  private readonly losses: LossMaker;

  constructor(
    private readonly pipeline: Pipeline,
    private readonly server: RestartableServer,
    private readonly database: TestDatabase,
    lossCount: LossCount,
    /** Runs a command to its end. @returns what it prints. */
    private readonly run: (...args: string[]) => Promise<string>,
    private readonly onError: (error: unknown) => void,
  ) {
    this.losses = new LossMaker(pipeline, server, database, lossCount, (action) => this.withServer(action));
  }

  /** Begins a fault. What it takes away comes back after a while; `settled` waits for that. */
  make(fault: PlannedFault): void {
    const task = this.begin(fault)
      .then((isMade) => {
        if (isMade) this.made[fault.kind]++;
      })
      .catch(this.onError)
      .finally(() => this.pending.delete(task));
    this.pending.add(task);
  }

  async settled(): Promise<void> {
    while (this.pending.size > 0) await Promise.all(this.pending);
  }

  private async begin(fault: PlannedFault): Promise<boolean> {
    this.keepOlderCheckpoints();
    switch (fault.kind) {
      case 'killGenerator':
        return await this.kill('generator', fault);
      case 'killMover':
        return await this.kill('mover', fault);
      case 'killStream':
        return await this.kill('stream', fault);
      case 'freezeGenerator':
        return await this.freeze('generator', fault);
      case 'freezeMover':
        return await this.freeze('mover', fault);
      case 'freezeStream':
        return await this.freeze('stream', fault);
      case 'endStream':
        return await this.endStream(fault);
      case 'deleteCheckpoint':
        return await this.damage(fault, (file) => rmSync(file));
      case 'truncateCheckpoint':
        return await this.damage(fault, (file) =>
          writeFileSync(file, readFileSync(file).subarray(0, Math.floor(fault.target * 40))),
        );
      case 'rollBackCheckpoint':
        return await this.damage(fault, (file) => copyFileSync(olderOf(file), file));
      case 'terminateBackends':
        return await this.terminateBackends();
      case 'restartFast':
        return await this.restart('fast', fault);
      case 'restartImmediate':
        return await this.restart('immediate', fault);
      case 'killPostmaster':
        return await this.restart('killed', fault);
      case 'prune':
        return await this.prune();
      case 'restoreBackup':
      case 'failOver':
        return await this.lose(fault.kind);
    }
  }

  /** One that runs and may be hit. */
  private choose(
    role: Role,
    { target }: PlannedFault,
    maySpared: boolean,
    fits: (actor: Actor) => boolean = () => true,
  ): Actor | undefined {
    const running = this.pipeline.actors.filter(
      (actor) =>
        actor.options.role === role &&
        actor.state === 'running' &&
        (maySpared || !actor.options.isSpared) &&
        fits(actor),
    );
    return running[Math.floor(target * running.length)];
  }

  /** As `choose`, but waits for one: on a busy machine all may be starting, or have no checkpoint yet. */
  private async find(role: Role, fault: PlannedFault, fits?: (actor: Actor) => boolean): Promise<Actor | undefined> {
    return await patiently(() => {
      this.keepOlderCheckpoints();
      return this.choose(role, fault, false, fits);
    });
  }

  private async damage(fault: PlannedFault, action: (checkpoint: string) => void): Promise<boolean> {
    return await this.withCheckpoints(() => this.kill('stream', fault, action));
  }

  private async kill(role: Role, fault: PlannedFault, damage?: (checkpoint: string) => void): Promise<boolean> {
    const hasCheckpoint = (actor: Actor): boolean =>
      [this.pipeline.checkpointOf(actor), olderOf(this.pipeline.checkpointOf(actor))].every((file) => existsSync(file));
    const actor = await this.find(role, fault, damage === undefined ? undefined : hasCheckpoint);
    if (actor === undefined) return false;
    await actor.kill();
    damage?.(this.pipeline.checkpointOf(actor));
    await delay(fault.holdMs);
    actor.start();
    return true;
  }

  private async freeze(role: Role, fault: PlannedFault): Promise<boolean> {
    const actor = this.choose(role, fault, true);
    if (actor === undefined) return false;
    actor.freeze();
    await delay(fault.holdMs);
    actor.thaw();
    return true;
  }

  private async endStream(fault: PlannedFault): Promise<boolean> {
    const actor = await this.find('stream', fault);
    if (actor === undefined) return false;
    await actor.terminate();
    await delay(fault.holdMs);
    actor.start();
    return true;
  }

  /** As soon as there are any: the streams may all be away for a moment. */
  private async terminateBackends(): Promise<boolean> {
    const terminated = await patiently(async () => {
      let rows: unknown[] = [];
      await this.withServer(async () => {
        rows = await this.database.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'ecompipe'",
        );
      });
      return rows[0];
    });
    return terminated !== undefined;
  }

  private async restart(how: Shutdown, { holdMs }: PlannedFault): Promise<boolean> {
    await this.withServer(async () => {
      await this.server.stop(how);
      await delay(holdMs);
      await this.server.start();
    });
    return true;
  }

  /** Removes the events that are old, as soon as there are any. */
  private async prune(): Promise<boolean> {
    const pruned = await patiently(async () => {
      const printed = await this.run('prune', ...PRUNE_OLD, '--yes', '--json', '--retry-for', '600');
      const { events } = JSON.parse(printed) as { events: { rows: number } };
      return events.rows > 0 ? events.rows : undefined;
    });
    return pruned !== undefined;
  }

  private async lose(kind: LossKind): Promise<boolean> {
    await this.withCheckpoints(() => this.losses.make(kind));
    return true;
  }

  /** The first that each stream wrote, for a later roll-back. */
  private keepOlderCheckpoints(): void {
    for (const actor of this.pipeline.actors.filter(({ options }) => options.role === 'stream')) {
      const checkpoint = this.pipeline.checkpointOf(actor);
      if (existsSync(checkpoint) && !existsSync(olderOf(checkpoint))) copyFileSync(checkpoint, olderOf(checkpoint));
    }
  }

  private async withCheckpoints<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.checkpointTurn.then(action);
    this.checkpointTurn = turn.catch(() => undefined);
    return await turn;
  }

  private async withServer(action: () => Promise<void>): Promise<void> {
    const turn = this.serverTurn.then(action);
    this.serverTurn = turn.catch(() => undefined);
    await turn;
  }
}

function olderOf(checkpoint: string): string {
  return `${checkpoint}.older`;
}
