import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { isWantedName } from '../../src/contract/feeds/findFeed.js';
import { FOREIGN_MATCH, ForeignShop } from './foreignShop.js';
import { Actor, type ActorOptions, type Role } from './actor.js';
import type { Random } from './random.js';

export interface Pipeline {
  readonly home: string;
  readonly actors: readonly Actor[];
  readonly foreign: ForeignShop;
  readonly env: Readonly<Record<string, string>>;
  /** Where each stream keeps its checkpoint. */
  readonly checkpointOf: (actor: Actor) => string;
  /** Files that are still on their way. */
  readonly waiting: () => number;
}

const STREAMS = 3;
const BATCH_BYTES = ['16KiB', '64KiB', '256KiB', '1MiB', '8MiB'] as const;

/** Two generators of dirty files, small and large, a shop whose files need a feed, two movers and three streams, all on the same directories. */
export function createPipeline(
  home: string,
  executable: string,
  databaseEnv: Readonly<Record<string, string>>,
  random: Random,
  losses: () => number,
  onFailure: (message: string) => void,
): Pipeline {
  const directories = Object.fromEntries(
    ['incoming', 'processing', 'archive', 'quarantine'].map((name) => [name, path.join(home, name)]),
  ) as Record<'incoming' | 'processing' | 'archive' | 'quarantine', string>;
  for (const directory of Object.values(directories)) mkdirSync(directory);
  const foreign = new ForeignShop(home, directories.incoming, random.fork());
  const env = {
    ...databaseEnv,
    FEEDS_PATH: foreign.feedsDir,
    INCOMING_PATH: directories.incoming,
    PROCESSING_PATH: directories.processing,
    ARCHIVE_PATH: directories.archive,
    QUARANTINE_PATH: directories.quarantine,
  };
  const create = (role: Role, index: number, more: Pick<ActorOptions, 'args'>): Actor =>
    new Actor(
      { role, name: `${role}-${index}`, home, executable, env, isSpared: index === 0, losses, ...more },
      onFailure,
    );
  const checkpointDir = (index: number): string => path.join(home, `checkpoints-${index}`);

  const generator = (index: number, ...size: string[]): Actor => {
    const own = random.fork();
    // Always from the same start, but with another seed: a run of its own, with ids of its own.
    return create('generator', index, {
      args: () => [
        ...size,
        '--dirt',
        'dirty',
        '--start',
        '2026-01-01T00:00:00Z',
        '--seed',
        String(own.between(1, 2 ** 31)),
      ],
    });
  };
  const streams = Array.from({ length: STREAMS }, (_, index) => {
    const own = random.fork();
    return create('stream', index, {
      args: () => [
        '--checkpoint',
        checkpointDir(index),
        '--batch-bytes',
        // One of them always loads files in ranges, whatever the seed.
        index === 0 ? BATCH_BYTES[0] : own.pick(BATCH_BYTES),
        '--connections',
        String(own.between(1, 3)),
        ...(own.next() < 0.2 ? ['--atomic-file'] : []),
        '--retry-for',
        '600',
      ],
    });
  });
  const actors = [
    generator(0, '--interval', '0.05', '--batch-size', '40'),
    generator(1, '--interval', '2', '--batch-size', '4000'),
    ...[0, 1].map((index) => create('mover', index, { args: () => ['--settle', '300'] })),
    ...streams,
  ];
  const standing = (directory: string): number =>
    readdirSync(directory).filter((name) => isWantedName(name, [{ match: [FOREIGN_MATCH] }])).length;
  return {
    home,
    actors,
    foreign,
    env,
    checkpointOf: (actor) => path.join(checkpointDir(streams.indexOf(actor)), 'stream.json'),
    waiting: () => standing(directories.incoming) + standing(directories.processing),
  };
}
