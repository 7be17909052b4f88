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
import { errnoOf } from '../../../platform/errors.js';
import { temporaryPath } from '../../../platform/files/temporary.js';
import type { StageContext } from '../../../platform/stage.js';
import { DriverProcess } from './driverProcess.js';
import { javaExecutable } from './installation.js';
import type { JarsDirectory } from './jobJar.js';
import { NO_CONF, takesClassArchive, type DriverSettings } from './submit.js';

type Context = Pick<StageContext<never>, 'log' | 'stop'>;

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
  context: Context,
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
  driver: DriverSettings,
  file: string,
  environment: NodeJS.ProcessEnv,
  context: Context,
): Promise<void> {
  const { log, stop } = context;
  const temporary = temporaryPath(file);
  const { version } = driver.spark;
  log.info('spark_classes_archiving', `archiving the classes that Spark ${version} starts with; done once`, {
    archive: file,
  });
  try {
    await runOnce(new DriverProcess(makerOf(driver, temporary), environment, log), stop).catch((error: unknown) =>
      log.debug('spark_classes_not_archived', `Spark starts without an archive of its classes: ${String(error)}`),
    );
    if (stop.aborted) return;
    if (!existsSync(temporary)) writeFileSync(temporary, '');
    chmodSync(temporary, 0o644);
    renameSync(temporary, file);
    dropOlder(file);
  } catch (error) {
    // A directory that somebody else has filled, and we may not write to.
    if (errnoOf(error) === undefined) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Nothing of the user's settings: a history server, or a listener of theirs, need not hear of it. */
function makerOf(driver: DriverSettings, file: string): DriverSettings {
  const conf = { properties: new Map<string, string>(), flags: [], directory: path.join(path.dirname(file), NO_CONF) };
  return { ...driver, conf, master: 'local[1]', classArchive: { file, mode: 'make' } };
}

/** Those of the same places, which something newer was installed in: 150 MB each. */
function dropOlder(file: string): void {
  const { dir, base } = path.parse(file);
  const prefix = base.slice(0, base.lastIndexOf('-') + 1);
  for (const name of readdirSync(dir))
    if (name.startsWith(prefix) && name !== base) rmSync(path.join(dir, name), { force: true });
}

/** A micro-batch with one file, of which nothing is loaded; then the driver's end, in which it writes the archive. */
async function runOnce(driver: DriverProcess, stop: AbortSignal): Promise<void> {
  const work = mkdtempSync(path.join(tmpdir(), 'ecompipe-classes-'));
  const onStop = (): void => void driver.close(0);
  stop.addEventListener('abort', onStop, { once: true });
  if (stop.aborted) onStop();
  try {
    writeFileSync(path.join(work, 'events.csv'), 'event_id\n1\n');
    await driver.ready();
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
    await driver.expect('started');
    await driver.expect('batch');
    driver.send({ type: 'done', leave: [] });
    await driver.expect('finished');
  } finally {
    await driver.close(stop.aborted ? 0 : MADE_WITHIN_MS);
    stop.removeEventListener('abort', onStop);
    rmSync(work, { recursive: true, force: true });
  }
}
