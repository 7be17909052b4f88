import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { withDatabase, type Database } from '../../../src/platform/db/target.js';
import { silentLogger } from '../../../src/platform/log.js';
import { runGenerate } from '../../../src/pipeline/generate/runGenerate.js';
import type { GenerateResult } from '../../../src/pipeline/generate/generateEvents.js';
import type { GenerateSettings } from '../../../src/pipeline/generate/settings.js';
import { runMigrate } from '../../../src/pipeline/migrate/runMigrate.js';
import { runMove } from '../../../src/pipeline/move/runMove.js';
import type { StreamResult, StreamSettings } from '../../../src/pipeline/stream/streamEvents.js';
import { runStream } from '../../../src/pipeline/stream/runStream.js';
import { runVerify } from '../../../src/pipeline/verify/runVerify.js';
import type { VerifyEvent, VerifyResult, VerifySettings } from '../../../src/pipeline/verify/verifyEvents.js';
import { temporaryDirectory } from '../../platform/files/directories.js';
import { startTestServer, type TestDatabase } from '../../helpers/postgres.js';

const never = new AbortController().signal;
const now = AbortSignal.abort();

/** A pipeline of its own: directories, a database with the schema, and the stages as functions. */
export interface Pipeline {
  readonly home: string;
  readonly incoming: string;
  readonly processing: string;
  readonly archive: string;
  readonly manifests: string;
  readonly database: TestDatabase;
  readonly generate: (settings?: Partial<GenerateSettings>) => Promise<GenerateResult>;
  readonly move: () => Promise<void>;
  readonly stream: (settings?: Partial<StreamSettings>) => Promise<StreamResult>;
  /** All three, one after the other. */
  readonly run: (settings?: Partial<GenerateSettings>) => Promise<void>;
  readonly verify: (settings?: Partial<VerifySettings>, emit?: (event: VerifyEvent) => void) => Promise<VerifyResult>;
  readonly target: <T>(action: (database: Database) => Promise<T>) => Promise<T>;
}

export async function createPipeline(t: TestContext): Promise<Pipeline> {
  const server = await startTestServer();
  const template = await server.createTemplate('migrated', (database) =>
    targetOf(database, (target) => runMigrate(target, 'apply', { log: silentLogger })).then(() => undefined),
  );
  const database = await server.createDatabase({ template });
  t.after(() => database.drop());
  const home = temporaryDirectory(t);
  const [incoming, processing, archive, quarantine, checkpoints] = [
    'incoming',
    'processing',
    'archive',
    'quarantine',
    'checkpoints',
  ].map((name) => path.join(home, name)) as [string, string, string, string, string];
  const manifests = path.join(incoming, '.manifest');
  for (const directory of [incoming, processing]) mkdirSync(directory);
  const target = <T>(action: (database: Database) => Promise<T>): Promise<T> => targetOf(database, action);
  const stage = { stop: never, drain: now, log: silentLogger, emit: () => undefined };

  const generate = (settings: Partial<GenerateSettings> = {}): Promise<GenerateResult> =>
    runGenerate(
      {
        intervalSeconds: 0,
        seed: 42,
        start: '2026-03-01T00:00:00Z',
        products: 500,
        events: 2000,
        batchSize: 500,
        outputDir: incoming,
        ...settings,
      },
      { ...stage, drain: never },
    );
  const move = async (): Promise<void> => {
    await runMove({ from: incoming, to: processing, settleMs: 0, pollIntervalMs: 1000 }, stage);
  };
  const stream = (settings: Partial<StreamSettings> = {}): Promise<StreamResult> =>
    target((db) =>
      runStream(
        {
          inputDir: processing,
          connections: 2,
          batchBytes: 8 * 2 ** 20,
          afterLoad: 'archive',
          archiveDir: archive,
          quarantineDir: quarantine,
          checkpointDir: checkpoints,
          maxRejected: undefined,
          atomicFile: false,
          pollIntervalMs: 1000,
          ...settings,
        },
        db,
        stage,
      ),
    );
  const verify = (
    settings: Partial<VerifySettings> = {},
    emit: (event: VerifyEvent) => void = () => undefined,
  ): Promise<VerifyResult> =>
    target((db) =>
      runVerify(
        {
          manifestDir: manifests,
          waitingDirs: [incoming, processing],
          loadedDirs: [archive, processing, quarantine],
          ...settings,
        },
        db,
        { log: silentLogger, stop: never, emit },
      ),
    );
  const run = async (settings: Partial<GenerateSettings> = {}): Promise<void> => {
    await generate(settings);
    await move();
    await stream();
  };
  return { home, incoming, processing, archive, manifests, database, generate, move, stream, run, verify, target };
}

function targetOf<T>(database: TestDatabase, action: (database: Database) => Promise<T>): Promise<T> {
  const raw = {
    databaseUrl: database.url,
    host: undefined,
    port: undefined,
    database: undefined,
    user: undefined,
    password: undefined,
    sslMode: undefined,
    sslRootCert: undefined,
    embeddedDir: '.',
    retryForMs: 60_000,
  };
  return withDatabase(raw, { log: silentLogger, stop: never }, action);
}
