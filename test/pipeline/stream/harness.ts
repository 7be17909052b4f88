import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { StreamEvent, StreamResult, StreamSettings } from '../../../src/pipeline/stream/streamEvents.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import { silentLogger } from '../../../src/platform/log.js';
import { temporaryDirectory } from '../../platform/files/directories.js';
import { onDatabase, type Access } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';

/** A loader's directories, and a way to put files into the one it reads. */
export interface Shop {
  readonly home: string;
  readonly settings: StreamSettings;
  readonly put: (name: string, content: string | Uint8Array) => string;
}

/** New directories, removed after the test or under a home of the caller's; `overrides` change the defaults of the command line. */
export function openShop(place: TestContext | string, overrides: Partial<StreamSettings> = {}): Shop {
  const home = typeof place === 'string' ? place : temporaryDirectory(place);
  const inputDir = path.join(home, 'processing');
  mkdirSync(inputDir);
  const settings: StreamSettings = {
    inputDir,
    connections: 2,
    batchBytes: 8 * 2 ** 20,
    afterLoad: 'archive',
    archiveDir: path.join(home, 'archive'),
    quarantineDir: path.join(home, 'quarantine'),
    checkpointDir: path.join(home, 'checkpoints'),
    maxRejected: undefined,
    atomicFile: false,
    pollIntervalMs: 60_000,
    ...overrides,
  };
  const put = (name: string, content: string | Uint8Array): string => {
    const file = path.join(inputDir, name);
    writeFileSync(file, content);
    return file;
  };
  return { home, settings, put };
}

/** Loads what is there, as `--once` does, in this process. `onEvent` runs inside the loader's own emit. */
export async function load(
  shop: Shop,
  database: TestDatabase,
  overrides: Partial<StreamSettings> = {},
  access: Access & { onEvent?: (event: StreamEvent) => void } = {},
): Promise<StreamResult> {
  const stop = access.stop ?? new AbortController().signal;
  return await onDatabase(database, { ...access, stop }, (target) =>
    runStream({ ...shop.settings, ...overrides }, target, {
      stop,
      drain: AbortSignal.abort(),
      log: access.log ?? silentLogger,
      emit: access.onEvent ?? (() => undefined),
    }),
  );
}
