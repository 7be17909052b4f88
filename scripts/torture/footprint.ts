import { readdirSync, readFileSync } from 'node:fs';
import type { Actor, Role } from './actor.js';

/** More than this between the first and the last third of its life, and a process is growing. */
export const GROWTH_LIMIT = { rssMiB: 96, descriptors: 16 } as const;

const SAMPLE_INTERVAL_MS = 500;
const PAGE_MIB = 4096 / 2 ** 20;

interface Sample {
  readonly rssMiB: number;
  readonly descriptors: number;
}

export interface Growth {
  readonly role: Role;
  readonly samples: number;
  /** Highest in the first third and in the last. */
  readonly rssMiB: readonly [first: number, last: number];
  readonly descriptors: readonly [first: number, last: number];
}

/** Watches memory and open files of those that are never killed. */
export class Footprints {
  private readonly samples = new Map<Actor, Sample[]>();
  private readonly timer: NodeJS.Timeout;

  constructor(actors: readonly Actor[]) {
    for (const actor of actors.filter(({ options }) => options.isSpared)) this.samples.set(actor, []);
    this.timer = setInterval(() => this.look(), SAMPLE_INTERVAL_MS);
  }

  /** Ends the watching. */
  growth(): Growth[] {
    clearInterval(this.timer);
    return [...this.samples].map(
      ([
        {
          options: { role },
        },
        samples,
      ]) => {
        const third = Math.ceil(samples.length / 3);
        const highest = (some: readonly Sample[], key: keyof Sample): number =>
          Math.round(Math.max(0, ...some.map((sample) => sample[key])));
        const ends = (key: keyof Sample): [number, number] => [
          highest(samples.slice(0, third), key),
          highest(samples.slice(-third), key),
        ];
        return { role, samples: samples.length, rssMiB: ends('rssMiB'), descriptors: ends('descriptors') };
      },
    );
  }

  private look(): void {
    for (const [{ pid }, samples] of this.samples) {
      if (pid === undefined) continue;
      try {
        const [, resident] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
        samples.push({ rssMiB: Number(resident) * PAGE_MIB, descriptors: readdirSync(`/proc/${pid}/fd`).length });
      } catch {
        // It ended between the two looks.
      }
    }
  }
}
