import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { findSpark, SparkError } from '../../../src/pipeline/stream/spark/installation.js';
import { temporaryDirectory } from '../../platform/files/directories.js';
import { spawnEcompipe } from '../../helpers/executable.js';
import { migratedDatabase } from '../../helpers/migrated.js';

/** What a Spark looks like to somebody who only looks. */
function fakeSpark(t: TestContext, version: string): string {
  const home = temporaryDirectory(t);
  for (const directory of ['jars', 'bin']) mkdirSync(path.join(home, directory));
  writeFileSync(path.join(home, `jars/spark-core_2.13-${version}.jar`), '');
  writeFileSync(path.join(home, 'bin/spark-submit'), '#!/bin/sh\n');
  chmodSync(path.join(home, 'bin/spark-submit'), 0o755);
  return home;
}

test('SPARK_HOME wins over PATH, and PATH is followed through a link', async (t) => {
  const [configured, inPath, bin] = [fakeSpark(t, '4.1.4'), fakeSpark(t, '3.5.9'), temporaryDirectory(t)];
  symlinkSync(path.join(inPath, 'bin/spark-submit'), path.join(bin, 'spark-submit'));
  assert.deepEqual(await findSpark({ SPARK_HOME: configured, PATH: bin }), { home: configured, version: '4.1.4' });
  assert.deepEqual(await findSpark({ PATH: bin }), { home: inPath, version: '3.5.9' });
});

for (const version of ['3.4.4', '2.4.8', '5.0.0']) {
  test(`Spark ${version} is refused, with the range that is supported`, async (t) => {
    await assert.rejects(
      findSpark({ SPARK_HOME: fakeSpark(t, version) }),
      (error) => error instanceof SparkError && error.exitCode === 69 && error.message.includes('3.5 to 4.x'),
    );
  });
}

test('a SPARK_HOME without a Spark is told, not searched past', async (t) => {
  const home = temporaryDirectory(t);
  await assert.rejects(
    findSpark({ SPARK_HOME: home, PATH: process.env['PATH'] }),
    (error) => error instanceof SparkError && error.message.includes(home),
  );
});

test('without Spark, stream --engine spark exits with 69 and the three lines that install it', async (t) => {
  const home = temporaryDirectory(t);
  mkdirSync(path.join(home, 'processing'));
  const database = await migratedDatabase();
  const { exitCode, stderr, stdout } = await spawnEcompipe(
    t,
    ['stream', '--engine', 'spark', '--once'],
    { ...database.env, PATH: temporaryDirectory(t), PROCESSING_PATH: path.join(home, 'processing') },
    home,
  ).end;
  assert.equal(exitCode, 69, stderr);
  assert.equal(stdout, '');
  for (const line of ['python3 -m venv .venv', '.venv/bin/pip install "pyspark==4.1.*"', 'export SPARK_HOME='])
    assert.ok(stderr.includes(line), stderr);
});
