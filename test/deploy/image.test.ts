import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { ROOT } from '../docs/guide.js';
import { run } from '../helpers/executable.js';
import { startTestServer } from '../helpers/postgres.js';
import { dockerfile, type Instruction } from './composeFile.js';
import { atEnd } from '../helpers/atEnd.js';

/** The stages: the build, the image with Spark, and, as it is last, the image that one gets without asking for another. */
const [SPARK, LAST] = [1, 2];

/** Without an engine for containers: the same steps, in directories. */
test('the steps of the Dockerfile make an executable that needs no more than what they copy', async (t) => {
  const stages = [imageRoot(t), imageRoot(t)] as const;
  for (const instruction of dockerfile().filter(({ stage }) => stage === 0 || stage === LAST))
    apply(instruction, stages);
  const app = path.join(stages[1], 'app');
  const image = { cwd: path.join(stages[1], 'data'), executable: path.join(app, 'bin/ecompipe.js') };

  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  assert.equal((await run(t, image, '--version')).stdout.trim(), version);

  const database = await (await startTestServer()).createDatabase();
  const migrated = await run(t, { ...image, env: database.env }, 'migrate');
  assert.equal(migrated.exitCode, 0, migrated.stderr);
  const loaded = await run(
    t,
    { ...image, env: database.env },
    'run-all',
    '--events',
    '100',
    '--interval',
    '0',
    '--seed',
    '1',
    '--until-drained',
  );
  assert.equal(loaded.exitCode, 0, loaded.stderr);

  const alone = await run(t, image, 'stream', '--once');
  assert.notEqual(alone.exitCode, 1, 'that the embedded server is left out is told, not a bug');
  assert.match(alone.stderr, /DATABASE_URL|POSTGRES_HOST/);
});

for (const [stage, name] of [
  [LAST, 'the image'],
  [SPARK, 'the image with Spark'],
] as const) {
  test(`${name} runs without root and keeps its data where compose mounts it`, () => {
    const instructions = dockerfile().filter((instruction) => instruction.stage === stage);
    const valueOf = (keyword: string): string | undefined =>
      instructions.findLast((instruction) => instruction.name === keyword)?.text;
    assert.deepEqual([valueOf('USER'), valueOf('VOLUME'), valueOf('WORKDIR')], ['node', '/data', '/data']);
    assert.deepEqual(JSON.parse(valueOf('ENTRYPOINT') ?? ''), ['node', '/app/bin/ecompipe.js']);
    const users = instructions.findIndex((instruction) => instruction.name === 'USER');
    assert.ok(
      instructions.slice(users).every((instruction) => instruction.name !== 'RUN' && instruction.name !== 'COPY'),
      'nothing is installed after root is left',
    );
  });
}

test('the images have what the package has, but for documents; the job that Spark runs is in one of them', () => {
  const { files } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
  const packaged = [
    ...new Set(files.map((file) => file.split('/')[0]!).filter((name) => !name.includes('.') && name !== 'docs')),
  ];
  const missing = (stage: number): string[] => {
    const copied = dockerfile()
      .filter((instruction) => instruction.stage === stage && instruction.name === 'COPY')
      .map(({ text }) => text.split(' ').at(-1)!);
    return packaged.filter((name) => !copied.includes(name));
  };
  assert.deepEqual([missing(LAST), missing(SPARK)], [['spark'], []]);
});

function imageRoot(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-image-'));
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }));
  for (const name of ['build', 'app', 'data']) mkdirSync(path.join(directory, name));
  return directory;
}

/** COPY and the RUN lines of the build stage; the WORKDIR of each stage is the one that its COPY targets are relative to. */
function apply({ stage, name, text }: Instruction, stages: readonly [string, string]): void {
  const root = stages[stage === 0 ? 0 : 1];
  const workdir = path.join(root, stage === 0 ? 'build' : 'app');
  if (name === 'COPY') {
    const [, from, names = ''] = /^(?:--from=(\w+) )?(.*)$/.exec(text) ?? [];
    const sources = names.split(' ');
    const target = sources.pop()!;
    for (const source of sources) {
      const origin = from === undefined ? path.join(ROOT, source) : path.join(stages[0], source);
      cpSync(origin, target === './' ? path.join(workdir, path.basename(source)) : path.join(workdir, target), {
        recursive: true,
      });
    }
  }
  if (name === 'RUN' && stage === 0) {
    const { status, stderr } = spawnSync('sh', ['-c', text], { cwd: workdir, encoding: 'utf8' });
    assert.equal(status, 0, `${text}: ${stderr}`);
  }
}

test('.dockerignore lets through what the images copy from the checkout, and nothing else', () => {
  const lines = readFileSync(path.join(ROOT, '.dockerignore'), 'utf8').split('\n');
  assert.ok(lines.includes('*'), 'what is not named is left out');
  const allowed = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  const copied = dockerfile()
    .filter(({ name, text }) => name === 'COPY' && !text.startsWith('--from='))
    .flatMap(({ text }) => text.split(' ').slice(0, -1));
  assert.deepEqual([...new Set(copied)].sort(), allowed.sort());
});

test('there is one Dockerfile, which these tests read', () => {
  assert.deepEqual(
    readdirSync(ROOT, { recursive: false, encoding: 'utf8' }).filter((name) => /dockerfile|containerfile/i.test(name)),
    ['Dockerfile'],
  );
});
