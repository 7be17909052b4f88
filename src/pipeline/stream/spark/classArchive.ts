import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { StageContext } from '../../../platform/stage.js';
import { DriverProcess } from './driverProcess.js';
import { javaExecutable } from './installation.js';
import type { JarsDirectory } from './jobJar.js';
import type { FromJob } from './messages.js';
import { takesClassArchive, type DriverSettings } from './submit.js';

/** Making one takes some 20 s. */
const MADE_WITHIN_MS = 180_000;

/**
 * The driver with Java's archive of the classes that Spark needs to start (class data sharing, `java -XX:SharedArchiveFile`).
 * Loading and checking 15,000 classes is most of a start, which takes about half the time with it. Made by `ecompipe spark
 * prepare`, or else at the first use. One that does not fit any more Java itself passes over.
 *
 * @returns the driver as it is where there is no archive, or none can be used: nothing depends on it but time.
 */
export async function withClassArchive(
  driver: DriverSettings,
  jars: JarsDirectory,
  environment: NodeJS.ProcessEnv,
  context: Pick<StageContext<never>, 'log' | 'stop'>,
): Promise<DriverSettings> {
  const file = takesClassArchive(driver, environment) ? archiveFile(driver, jars, environment) : undefined;
  if (file === undefined) return driver;
  if (!existsSync(file) && !jars.isPrepared) await make(driver, file, environment, context);
  const isMade = existsSync(file) && statSync(file).size > 0;
  return isMade ? { ...driver, classArchive: { file, mode: 'use' } } : driver;
}

/**
 * Named after what it depends on: which Java and which Spark, and when they were installed (in seconds: an image keeps no
 * less).
 */
function archiveFile(
  { spark: { home, version } }: DriverSettings,
  { directory }: JarsDirectory,
  environment: NodeJS.ProcessEnv,
): string | undefined {
  const java = javaExecutable(environment);
  if (java === undefined) return undefined;
  const places = [realpathSync(java), path.join(home, 'jars')];
  const times = places.map((place) => Math.floor(statSync(place).mtimeMs / 1000));
  return path.join(directory, `classes-${version}-${shortHash(places)}-${shortHash(times)}.jsa`);
}

function shortHash(facts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 12);
}

/** What can't be made once is not tried again: an empty file says so. */
async function make(
  settings: DriverSettings,
  file: string,
  environment: NodeJS.ProcessEnv,
  { log, stop }: Pick<StageContext<never>, 'log' | 'stop'>,
): Promise<void> {
  const { version } = settings.spark;
  log.info('spark_classes_archiving', `archiving the classes that Spark ${version} starts with; done once`, {
    archive: file,
  });
  const work = mkdtempSync(path.join(tmpdir(), 'ecompipe-classes-'));
  const temporary = path.join(path.dirname(file), `.${process.pid}-${path.basename(file)}`);
  try {
    const driver = new DriverProcess(
      { ...settings, classArchive: { file: temporary, mode: 'make' } },
      environment,
      log,
    );
    const onStop = (): void => void driver.close(0);
    stop.addEventListener('abort', onStop, { once: true });
    try {
      await runOnce(driver, work);
    } finally {
      await driver.close(stop.aborted ? 0 : MADE_WITHIN_MS);
      stop.removeEventListener('abort', onStop);
    }
  } catch (error) {
    log.debug('spark_classes_not_archived', `Spark starts without an archive of its classes: ${String(error)}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  if (stop.aborted) {
    rmSync(temporary, { force: true });
    return;
  }
  if (!existsSync(temporary)) writeFileSync(temporary, '');
  chmodSync(temporary, 0o644);
  renameSync(temporary, file);
  dropOlder(file);
}

/** Those of the same places, which something newer was installed in: 150 MB each. */
function dropOlder(file: string): void {
  const { dir, base } = path.parse(file);
  const prefix = base.slice(0, base.lastIndexOf('-') + 1);
  for (const name of readdirSync(dir))
    if (name.startsWith(prefix) && name !== base) rmSync(path.join(dir, name), { force: true });
}

/** A micro-batch with one file, of which nothing is loaded. */
async function runOnce(driver: DriverProcess, work: string): Promise<void> {
  await driver.expect('ready');
  writeFileSync(path.join(work, 'events.csv'), 'event_id\n1\n');
  driver.send({
    type: 'start',
    inputDir: work,
    checkpointDir: `file://${path.join(work, 'checkpoint')}`,
    once: true,
    maxFiles: 1,
    maxBytes: Number.MAX_SAFE_INTEGER,
    largeBytes: Number.MAX_SAFE_INTEGER,
    triggerMs: 0,
    pieceBytes: 2 ** 20,
    selection: { feeds: [], recursive: false, include: [], exclude: [], ownDirs: [] },
    database: { url: '', properties: {}, session: '' },
  });
  for (const type of ['started', 'batch'] as const satisfies readonly FromJob['type'][]) await driver.expect(type);
  driver.send({ type: 'done', leave: [] });
  await driver.expect('finished');
}
