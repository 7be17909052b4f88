import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { commands } from '../../src/commands/index.js';
import { silentLogger } from '../../src/platform/log.js';
import { jobJar } from '../../src/pipeline/stream/spark/jobJar.js';
import type { ToJob } from '../../src/pipeline/stream/spark/messages.js';
import { pathIn } from '../helpers/dayFolders.js';
import { start } from '../helpers/executable.js';
import { migratedDatabase } from '../helpers/migrated.js';
import type { TestDatabase } from '../helpers/postgres.js';
import { temporaryDirectory } from '../platform/files/directories.js';
import { readDocument } from './markdown.js';

/** What a run told Spark, and what it left behind. */
interface Told {
  readonly submitted: readonly string[];
  readonly start: Extract<ToJob, { type: 'start' }>;
  readonly home: string;
  /** Transactions that loaded the file of two megabytes. */
  readonly batches: number;
}

const SPARK_VERSION = '4.1.4';

/** Two pieces, which `--stage-bytes 1MiB` keeps apart. */
const PIECE_BYTES = 2 ** 20;

const FEEDS = {
  'pipes.yaml': `match: "*.psv"\nformat: { delimiter: "|", quote: "'", encoding: windows-1252, null: ["\\\\N"] }\n`,
  'lines.yaml': 'match: "*.txt"\nformat: { type: lines }\n',
  'documents.yaml': 'match: "*.jsonl"\nformat: { type: jsonl }\n',
};

const COLUMNS = {
  'pipes.yaml': 'event_id: id',
  'lines.yaml': 'event_id: { derive: [line] }',
  'documents.yaml': 'event_id: { derive: [{ sql: record::text }] }',
};

const OTHER_COLUMNS = `
  event_type: { value: view_item }
  event_time: { value: "2026-11-22T13:00:00Z" }
  user_id: { value: u }
  session_id: { value: s }
  product_id: { value: p }
  product_name: { value: p }
`;

/** Stands where spark-submit does, and writes down what it is told; then it finds one file of two pieces, and one that can't be read. */
const SUBMIT = `#!${process.execPath}
const fs = require('node:fs');
const home = process.env.TOLD;
const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n');
fs.writeFileSync(home + '/submitted.json', JSON.stringify(process.argv.slice(2)));
say({ type: 'ready', spark: '${SPARK_VERSION}', master: 'yarn' });
const inspect = (directory, name, head, pieces) => {
  const path = directory + '/' + name;
  const { dev, ino, size, mtimeNs } = fs.statSync(path, { bigint: true });
  const file = { path, name, size: Number(size), fileStamp: [dev, ino, size, mtimeNs].join(':') };
  return { file, sha256: Buffer.alloc(32, name).toString('hex'), size: Number(size), head: Buffer.from(head).toString('base64'), pieces, fault: null };
};
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  if (command.type === 'start') {
    fs.writeFileSync(home + '/start.json', line);
    say({ type: 'started' });
    const header = fs.readFileSync(command.inputDir + '/a.csv', 'utf8').split('\\n')[0] + '\\n';
    const piece = (start, end) => ({ start, end, firstLine: 2, lines: 0, rows: 0, plain: true, crlf: false });
    const pieces = [piece(header.length, ${PIECE_BYTES}), piece(${PIECE_BYTES}, ${2 * PIECE_BYTES})];
    say({ type: 'batch', id: 0, files: [inspect(command.inputDir, 'a.csv', header, pieces), inspect(command.inputDir, 'b.csv', 'colour\\n', [])] });
  } else if (command.type === 'done') {
    say({ type: 'finished' });
    process.stdin.destroy();
  }
});
`;

async function installRecorder(home: string): Promise<Record<string, string>> {
  const [sparkHome, jars] = [path.join(home, 'spark'), path.join(home, 'jars')];
  for (const directory of [`${sparkHome}/bin`, `${sparkHome}/jars`, jars]) mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(sparkHome, `jars/spark-core_2.13-${SPARK_VERSION}.jar`), '');
  writeFileSync(path.join(sparkHome, 'bin/spark-submit'), SUBMIT);
  chmodSync(path.join(sparkHome, 'bin/spark-submit'), 0o755);
  writeFileSync(path.join(jars, 'postgresql-42.7.8.jar'), '');
  // One that was made by `spark prepare` has the name that it is asked for.
  const spark = { home: sparkHome, version: SPARK_VERSION };
  const missing = await jobJar(spark, { directory: jars, isPrepared: true }, {}, silentLogger).catch(String);
  const [jar = ''] = /ecompipe-spark-\S+\.jar/.exec(missing) ?? [];
  writeFileSync(path.join(jars, jar), '');
  return { SPARK_HOME: sparkHome, ECOMPIPE_SPARK_JARS: jars, TOLD: home };
}

async function told(
  t: TestContext,
  database: TestDatabase,
  env: (home: string) => Readonly<Record<string, string>>,
  args: (home: string) => readonly string[],
): Promise<Told> {
  const home = temporaryDirectory(t);
  for (const directory of ['in', 'own feeds']) mkdirSync(path.join(home, directory));
  for (const [name, format] of Object.entries(FEEDS))
    writeFileSync(
      path.join(home, 'own feeds', name),
      `${format}columns:\n  ${COLUMNS[name as keyof typeof FEEDS]}${OTHER_COLUMNS}`,
    );
  const header = `event_id,event_type,event_time,user_id,session_id\n`;
  writeFileSync(path.join(home, 'in/a.csv'), header.padEnd(2 * PIECE_BYTES, ' '));
  writeFileSync(path.join(home, 'in/b.csv'), 'colour\n');
  const recorder = await installRecorder(home);
  const options = { cwd: home, env: { HOME: home, ...recorder, ...env(home) } };
  const { exitCode, stderr } = await start(t, options, 'stream', '--engine', 'spark', ...args(home)).end;
  assert.equal(exitCode, 0, stderr);
  const [{ batches } = { batches: 0 }] = await database.query<{ batches: number }>(
    'select count(*)::int4 as batches from ecompipe.batches',
  );
  const read = (name: string): unknown => JSON.parse(readFileSync(path.join(home, name), 'utf8'));
  return { submitted: read('submitted.json') as string[], start: read('start.json') as Told['start'], home, batches };
}

/** All options of the table, with values that are not the defaults. */
function allOptions(home: string): string[] {
  return [
    ...['--master', 'yarn', '--input-dir', `${home}/in`, '--checkpoint', `file://${home}/checkpoint`],
    ...['--jdbc-driver', `${home}/jars/postgresql-42.7.8.jar`, '--feeds', `${home}/own feeds`],
    ...['--recursive', '--include', '*.csv', '--exclude', '*.old.csv'],
    ...['--max-files-per-trigger', '7', '--max-bytes-per-trigger', '5MiB', '--trigger-interval', '3s', '--once'],
    ...['--after-load', 'archive', '--archive-dir', `${home}/done`, '--quarantine-dir', `${home}/bad`],
    ...['--stage-bytes', '1MiB', '--metrics-port', '0'],
    ...['--', '--conf', 'spark.sql.shuffle.partitions=8', '--conf', 'spark.cores.max=4', '--executor-memory', '2g'],
    ...[
      '--queue',
      'etl',
      '--properties-file',
      `${home}/job.conf`,
      '--packages',
      'org.example:own:1',
      '--jars',
      '/own.jar',
    ],
  ];
}

const POSTGRES = ['HOST', 'PORT', 'DB', 'USER', 'PASSWORD'].map((name) => `POSTGRES_${name}`);

/** Two runs: `all` has every option, as a flag; `few` what the old job had in its environment, and the defaults. */
interface Runs {
  readonly all: Told;
  readonly few: Told;
  /** Of `few`. */
  readonly database: TestDatabase;
  /** Of `all`. */
  readonly namedByUrl: TestDatabase;
}

/** Whether spark-submit was given this, flag and value one after the other. */
function wasSubmitted({ submitted }: Told, ...words: readonly string[]): void {
  assert.ok(
    ` ${submitted.join(' ')} `.includes(` ${words.join(' ')} `),
    `${words.join(' ')} in ${submitted.join(' ')}`,
  );
}

/** Whether the executors were told of this database. */
function reaches({ start }: Told, { host, port, user, password, database }: TestDatabase): void {
  const { url, properties } = start.database;
  assert.equal(url, `jdbc:postgresql://${host}:${port}/${database}`);
  assert.deepEqual([properties['user'], properties['password']], [user, password]);
}

/** What shows that a row is true, by the words of its first cell; undefined: it names nothing that has to be set. */
const ROWS: Readonly<Record<string, ((runs: Runs) => void | Promise<void>) | undefined>> = {
  'spark-submit job.py': ({ few }) => wasSubmitted(few, '--class', 'ecompipe.Main'),
  'spark-submit --master': ({ all, few }) => {
    wasSubmitted(all, '--master', 'yarn');
    wasSubmitted(few, '--master', 'local[3]');
  },
  'spark-submit --conf': ({ all }) => {
    wasSubmitted(all, '--executor-memory', '2g');
    wasSubmitted(all, '--queue', 'etl');
    wasSubmitted(all, '--properties-file', `${all.home}/job.conf`);
  },
  'spark-submit --packages org.postgresql:…': ({ all, few }) => {
    wasSubmitted(all, '--packages', 'org.example:own:1');
    wasSubmitted(all, '--jars', `/own.jar,${all.home}/jars/postgresql-42.7.8.jar`);
    wasSubmitted(few, '--jars', `${few.home}/jars/postgresql-42.7.8.jar`);
  },
  // test/spark/bundle.spark.ts submits it so; test/pipeline/stream/sparkSubmit.test.ts has it refused.
  'spark-submit --deploy-mode cluster': undefined,
  POSTGRES_HOST: ({ few, database }) => {
    reaches(few, database);
  },
  PROCESSING_PATH: ({ all, few }) => {
    for (const { start, home } of [all, few]) assert.equal(start.inputDir, `${home}/in`);
  },
  CHECKPOINT_PATH: ({ all, few }) => {
    for (const { start, home } of [all, few]) {
      assert.equal(start.checkpointDir, `file://${home}/checkpoint/spark`);
      assert.ok(existsSync(path.join(home, 'checkpoint/owner-id')));
    }
  },
  'readStream.schema(…)': ({ few }) => assert.deepEqual(few.start.selection.feeds, []),
  sep: ({ all }) => {
    const { format } = feedFor(all, 'psv');
    assert.deepEqual([format.delimiter, format.quote], ['|'.charCodeAt(0), "'".charCodeAt(0)]);
    assert.deepEqual([format.encoding, format.nulls], ['WIN1252', ['\\N']]);
  },
  'format("text")': ({ all }) => {
    for (const name of ['txt', 'jsonl']) assert.equal(feedFor(all, name).format.kind, 'lines');
  },
  recursiveFileLookup: ({ all, few }) => {
    const { recursive, include, exclude } = all.start.selection;
    assert.deepEqual([recursive, include.length, exclude.length], [true, 1, 1]);
    assert.equal(few.start.selection.recursive, false);
  },
  maxFilesPerTrigger: ({ all, few }) => assert.deepEqual([all.start.maxFiles, few.start.maxFiles], [7, 4000]),
  maxBytesPerTrigger: ({ all, few }) =>
    assert.deepEqual([all.start.maxBytes, few.start.maxBytes], [5 * 2 ** 20, 2 ** 30]),
  latestFirst: undefined,
  cleanSource: ({ all, few }) => {
    assert.ok(existsSync(pathIn(path.join(all.home, 'done'), 'a.csv')));
    assert.ok(existsSync(pathIn(path.join(few.home, 'data/archive'), 'a.csv')));
  },
  badRecordsPath: ({ all }) => assert.ok(existsSync(pathIn(path.join(all.home, 'bad'), 'b.csv'))),
  withWatermark: async ({ database }) => {
    const keys = await database.query(
      "select pg_get_constraintdef(oid) as key from pg_constraint where conrelid = 'public.events'::regclass and contype = 'p'",
    );
    assert.deepEqual(keys, [{ key: 'PRIMARY KEY (event_id)' }]);
  },
  'trigger(processingTime=…)': ({ all, few }) =>
    assert.deepEqual([all.start.triggerMs, few.start.triggerMs], [3000, 1000]),
  'trigger(availableNow=True)': ({ all }) => assert.equal(all.start.once, true),
  foreachBatch: undefined,
  url: ({ all, namedByUrl }) => reaches(all, namedByUrl),
  batchsize: ({ all, few }) => assert.deepEqual([all.batches, few.batches], [2, 1]),
  numPartitions: ({ all }) => wasSubmitted(all, '--conf', 'spark.cores.max=4'),
  'spark.sql.shuffle.partitions': ({ all }) => wasSubmitted(all, '--conf', 'spark.sql.shuffle.partitions=8'),
  isolationLevel: ({ few }) =>
    assert.match(few.start.database.session, /'default_transaction_isolation', 'read committed'/),
  awaitTermination: undefined,
  'query.lastProgress': undefined,
};

function feedFor({ start }: Told, extension: string): Told['start']['selection']['feeds'][number] {
  const found = start.selection.feeds.find(({ match }) =>
    match.some(({ expression }) => new RegExp(expression).test(`a.${extension}`)),
  );
  assert.ok(found !== undefined, `a feed for .${extension}`);
  return found;
}

/** The rows of the table, as what stands between backticks in each cell. */
function tableRows(): { readonly there: string; readonly here: readonly string[] }[] {
  const [, section = ''] = readDocument('docs/scaling.md').split('## From a Python job\n');
  const [table = ''] = section.split('\n## ');
  return [...table.matchAll(/^\| (.*?) \| (.*?) \| (.*?) ?\|$/gm)]
    .slice(1)
    .map(([, there = '', here = '', more = '']) => ({
      there: codeIn(there)[0] ?? there,
      here: codeIn(`${here} ${more}`),
    }));
}

function codeIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
}

test('what an old job in Python was told reaches Spark and the database as the table says, row by row', async (t) => {
  const [forAll, forFew] = [await migratedDatabase(), await migratedDatabase()];
  const { host, port, database, user, password } = forAll;
  const url = `postgresql://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`;
  const all = await told(t, forAll, () => ({ DATABASE_URL: url }), allOptions);
  const few = await told(
    t,
    forFew,
    (home) => ({
      ...Object.fromEntries(POSTGRES.map((name) => [name, forFew.env[name] ?? ''])),
      ...{ PROCESSING_PATH: `${home}/in`, CHECKPOINT_PATH: `${home}/checkpoint` },
    }),
    () => ['--once', '--', '--master', 'local[3]'],
  );
  const rows = tableRows();
  assert.deepEqual(
    rows.map(({ there }) => there),
    Object.keys(ROWS),
  );
  const given = allOptions('');
  for (const { there, here } of rows)
    await t.test(there, async () => {
      for (const code of here) {
        const [flag] = /^--[a-z-]+$/.exec(code) ?? [];
        if (flag !== undefined && flag !== '--') assert.ok(given.includes(flag), `${flag} is tried here`);
        const [, command] = /^ecompipe ([a-z]+)/.exec(code) ?? [];
        if (command !== undefined)
          assert.ok(
            commands.some(({ name }) => name === command),
            `${command} is a command`,
          );
      }
      await ROWS[there]?.({ all, few, database: forFew, namedByUrl: forAll });
    });
});
