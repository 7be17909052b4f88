import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { eventRow, HEADER } from '../helpers/events.js';
import { until } from '../helpers/until.js';
import { eventIds } from '../pipeline/stream/tables.js';
import { storedStamp } from '../../src/pipeline/stream/storedStamp.js';
import { createPipeline } from '../pipeline/verify/pipeline.js';
import { freePort } from '../helpers/ports.js';
import { keepRunning } from './cluster.js';
import { installedForTests, runSpark, type SparkOptions } from './harness.js';
import { assertLoaded, makeFiles } from './remote.js';

const { objectStore } = installedForTests();

/** Far more than any of it takes, on a machine that is busy with other things. */
const WITHIN_MS = 180_000;

interface Bucket {
  readonly options: SparkOptions;
  readonly put: (key: string, body: Buffer | string) => Promise<void>;
  readonly keys: () => Promise<string[]>;
  /** The requests that came since, as `GET in/a.csv`. */
  readonly requests: () => string[];
}

/** An S3 of our own (moto), with one bucket. */
async function startObjectStore(t: TestContext, { server, jars }: NonNullable<typeof objectStore>): Promise<Bucket> {
  const port = await freePort();
  const { log } = keepRunning(t, server, ['-H', '127.0.0.1', '-p', String(port)]);
  await until('the object store listens', () => log().includes('Running on'), WITHIN_MS);
  const bucket = `http://127.0.0.1:${port}/bucket`;
  const ask = async (method: string, path: string, body?: Buffer | string): Promise<string> => {
    // It wants to see a signature, whichever.
    const headers = { authorization: 'AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request' };
    const answer = await fetch(`${bucket}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return await answer.text();
  };
  await ask('PUT', '');
  const conf = {
    'spark.jars': jars.join(),
    'spark.hadoop.fs.s3a.endpoint': `http://127.0.0.1:${port}`,
    'spark.hadoop.fs.s3a.endpoint.region': 'us-east-1',
    'spark.hadoop.fs.s3a.path.style.access': 'true',
    'spark.hadoop.fs.s3a.access.key': 'key',
    'spark.hadoop.fs.s3a.secret.key': 'secret',
  };
  const env = {
    PROCESSING_PATH: 's3a://bucket/in',
    ARCHIVE_PATH: 's3a://bucket/archive',
    QUARANTINE_PATH: 's3a://bucket/quarantine',
    CHECKPOINT_PATH: 's3a://bucket/checkpoints',
  };
  return {
    options: { conf, env },
    put: async (key, body) => {
      await ask('PUT', `/${encodeURI(key)}`, body);
    },
    keys: async () =>
      [...(await ask('GET', '?list-type=2')).matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key ?? ''),
    requests: () =>
      [...stripVTControlCharacters(log()).matchAll(/"([A-Z]+) \/bucket\/?([^ "?]*)[^ "]* HTTP/g)].map(
        ([, method, key]) => `${method} ${key}`,
      ),
  };
}

test(
  'objects are loaded and disposed of, each read twice and looked at once before it is disposed of',
  { skip: objectStore === undefined },
  async (t) => {
    const pipeline = await createPipeline(t);
    const bucket = await startObjectStore(t, objectStore!);
    await makeFiles(pipeline);
    const contents = new Map(
      readdirSync(pipeline.processing)
        .filter((file) => /csv/.test(file))
        .map((name) => [name, readFileSync(path.join(pipeline.processing, name))]),
    );
    for (const [name, content] of contents) await bucket.put(`in/${name}`, content);
    const before = bucket.requests().length;
    const { exitCode, stderr } = await runSpark(t, pipeline, bucket.options);
    assert.equal(exitCode, 0, stderr);
    const keys = await bucket.keys();
    await assertLoaded(pipeline, keys);
    for (const name of ['stream.json', 'owner-id', 'spark/commits/0'])
      assert.ok(keys.includes(`checkpoints/${name}`), name);
    for (const { name, stamp } of await pipeline.database.query<{ name: string; stamp: string }>(
      "select name, file_stamp::text as stamp from ecompipe.files where state = 'loaded'",
    )) {
      const content = contents.get(name)!;
      const etag = createHash('md5').update(content).digest('hex');
      const milliseconds = BigInt(stamp) >> 20n;
      assert.equal(stamp, storedStamp(`etag-${etag}:${name}:${content.length}:${milliseconds * 1_000_000n}`), name);
    }
    const requests = bucket.requests().slice(before);
    const [, second = ''] = readdirSync(pipeline.processing)
      .filter((name) => /csv$/.test(name))
      .sort();
    const ofOne = requests.filter((request) => request.endsWith(`in/${encodeURI(second)}`));
    t.diagnostic(`${requests.length} requests for five objects; for one of them: ${ofOne.join(', ')}`);
    assert.equal(ofOne.filter((request) => request.startsWith('GET')).length, 2);
  },
);

test(
  'an object that is replaced by one of the same size while it is loaded is loaded, too',
  { skip: objectStore === undefined },
  async (t) => {
    const pipeline = await createPipeline(t);
    const bucket = await startObjectStore(t, objectStore!);
    const contentOf = (n: number): string => `${HEADER}\n${eventRow(n)}\n`;
    assert.equal(contentOf(1).length, contentOf(2).length);
    await bucket.put('in/a.csv', contentOf(1));
    // It is loaded, and waits to be disposed of, when the next one takes its name.
    await pipeline.database.query(`
    create function public.slow() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(15); return null; end $$;
    create constraint trigger slow after insert on public.events deferrable initially deferred for each row execute function public.slow()`);
    const blocker = await pipeline.database.connect();
    await blocker.query('select pg_advisory_lock(15)');
    const first = runSpark(t, pipeline, bucket.options);
    await until(
      'the commit waits',
      async () =>
        (await blocker.query("select from pg_locks where locktype = 'advisory' and objid = 15 and not granted")).rows
          .length > 0,
      WITHIN_MS,
    );
    await bucket.put('in/a.csv', contentOf(2));
    await blocker.end();
    const { exitCode, stderr } = await first;
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(
      (await bucket.keys()).filter((key) => !key.startsWith('checkpoints/')),
      ['in/a.csv'],
    );
    const second = await runSpark(t, pipeline, bucket.options);
    assert.equal(second.exitCode, 0, second.stderr);
    assert.equal((await eventIds(pipeline.database)).length, 2);
  },
);
