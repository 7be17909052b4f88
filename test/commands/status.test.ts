import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { csv, migratedDatabase, project, run, start } from '../cli/executable.js';
import { until } from '../helpers/until.js';

test('status exits 0 and shows one screen, 7 with --check when a limit does not hold, 69 when the database is away', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  for (const name of ['incoming', 'processing']) mkdirSync(path.join(cwd, 'data', name), { recursive: true });
  writeFileSync(path.join(cwd, 'data/processing/a.csv'), csv(3, 1));
  const loaded = await run(t, { cwd, env }, 'stream', '--once');
  assert.equal(loaded.exitCode, 0, loaded.stderr);
  const plain = await run(t, { cwd, env }, 'status');
  assert.equal(plain.exitCode, 0, plain.stderr);
  assert.match(plain.stdout, /loaded +3 rows from 1 file\n/);
  assert.equal((await run(t, { cwd, env }, 'status', '--check', '--max-pending', '0')).exitCode, 0);
  const quiet = await run(t, { cwd, env }, 'status', '--check', '--max-pending', '0', '--quiet');
  assert.deepEqual([quiet.exitCode, quiet.stdout + quiet.stderr], [0, ''], 'cron mails what is printed');
  const failed = await run(t, { cwd, env }, 'status', '--check', '--max-reject-rate', '20%', '--json');
  assert.equal(failed.exitCode, 7);
  const quietFailed = await run(t, { cwd, env }, 'status', '--check', '--max-reject-rate', '20%', '--quiet');
  assert.match(quietFailed.stdout, /^check .*20\.?0? ?%/m, 'what cron mails');
  assert.deepEqual(
    (JSON.parse(failed.stdout) as { check: { violations: { limit: string }[] } }).check.violations.map(
      ({ limit }) => limit,
    ),
    ['maxRejectShare'],
  );
  writeFileSync(path.join(cwd, 'data/processing/b.csv'), 'x');
  const away = await run(t, { cwd, env: { ...env, POSTGRES_PORT: '1' } }, 'status', '--check');
  assert.equal(away.exitCode, 69);
  assert.match(away.stdout, /processing +1 file, 1 B/);
});

test('what will never be loaded is reported by stream and status, and --strict fails for it', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const processing = path.join(cwd, 'data/processing');
  mkdirSync(path.join(processing, 'older'), { recursive: true });
  mkdirSync(path.join(processing, 'archive'));
  for (const name of ['a.jsonl', 'b.tsv', 'c.csv.zst', '.hidden', 'd.csv.part'])
    writeFileSync(path.join(processing, name), 'x');
  symlinkSync('/etc/hostname', path.join(processing, 'e.csv'));
  writeFileSync(path.join(processing, 'good.csv'), csv(3, 1));
  const loaded = await run(t, { cwd, env }, 'stream', '--once', '--strict', '--archive-dir', 'data/processing/archive');
  assert.equal(loaded.exitCode, 3, loaded.stderr);
  for (const said of [
    'left a.jsonl alone: its name does not end in .csv or .csv.gz, and no feed is for it',
    'left b.tsv alone: its name',
    'left c.csv.zst alone: its name',
    'left e.csv alone: it is not a regular file',
    'left older alone: it is a directory',
  ])
    assert.ok(loaded.stderr.includes(said), `${said}\n${loaded.stderr}`);
  assert.doesNotMatch(loaded.stderr, /hidden|part|archive alone/);
  assert.match(
    loaded.stdout,
    /^loaded 3 rows from 1 file [^]* left alone in data\/processing: 5 entries, such as a.jsonl/,
  );
  const { stdout } = await run(t, { cwd, env }, 'status');
  assert.match(stdout, /nothing waits in data\/processing; left alone: 6 entries, such as a.jsonl, archive\/, b.tsv\n/);
  const inFeed = path.join(cwd, 'feeds');
  mkdirSync(inFeed);
  writeFileSync(path.join(inFeed, 'tabs.yaml'), "match: '*.tsv'\ncolumns:\n  event_id: id\n");
  const withFeed = JSON.parse((await run(t, { cwd, env }, 'status', '--json')).stdout) as {
    processing: { files: number; leftAlone: { entries: number } };
  };
  assert.deepEqual([withFeed.processing.files, withFeed.processing.leftAlone.entries], [1, 5]);
});

test('a continuous stream reports an entry that it leaves alone once, and ten of many', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const processing = path.join(cwd, 'data/processing');
  mkdirSync(processing, { recursive: true });
  for (let n = 0; n < 12; n++) writeFileSync(path.join(processing, `${n}.txt`), 'x');
  const { child, end, said } = start(t, { cwd, env }, 'stream');
  await said('whatever else is left alone');
  writeFileSync(path.join(processing, 'good.csv'), csv(3, 1));
  await until('the file is loaded', () => !existsSync(path.join(processing, 'good.csv')));
  child.kill('SIGTERM');
  const { stderr } = await end;
  assert.equal(stderr.match(/left .* alone:/g)?.length, 10);
});

test('--check fails for directories that do not exist, and for loaders that nobody has heard of for too long', async (t) => {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  const check = async (...args: string[]) => await run(t, { cwd, env }, 'status', '--check', ...args);
  const nothing = await check();
  assert.equal(nothing.exitCode, 7);
  assert.match(nothing.stdout, /failed: data\/incoming does not exist\n.*failed: data\/processing does not exist/);
  mkdirSync(path.join(cwd, 'data/incoming'), { recursive: true });
  mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
  assert.match((await check('--max-idle', '1h')).stdout, /failed: no loader has ever run here \(limit 1 h\)/);
  assert.equal((await run(t, { cwd, env }, 'stream', '--once')).exitCode, 0);
  assert.equal((await check('--max-idle', '1h')).exitCode, 0, 'a run that found nothing counts');
  const [id] = readdirSync(path.join(cwd, 'checkpoints')).filter((name) => name === 'owner-id');
  const before = new Date(Date.now() - 7_200_000);
  utimesSync(path.join(cwd, 'checkpoints', id!), before, before);
  const idle = await check('--max-idle', '1h');
  assert.equal(idle.exitCode, 7);
  assert.match(idle.stdout, /failed: no loader has committed or looked for files for 2 h/);
});

for (const args of [
  ['verify'],
  ['verify', '--ledger'],
  ['trace', '0199c82c-c007-758f-8899-000000000001'],
  ['rejects', 'list'],
  ['rejects', 'show', '1'],
  ['rejects', 'export', '--output', 'out.csv'],
  ['undo', '--file', 'a.csv'],
  ['prune', '--older-than', '90d', '--dry-run'],
])
  test(`\`${args.join(' ')}\` in an empty directory creates nothing and says what would`, async (t) => {
    const cwd = project(t);
    const { exitCode, stderr } = await run(t, { cwd }, ...args);
    assert.equal(exitCode, 69, stderr);
    assert.match(stderr, /there is no database yet[^]*run-all/);
    assert.deepEqual(readdirSync(cwd), []);
  });

test('status in an empty directory creates nothing', async (t) => {
  const cwd = project(t);
  const { exitCode, stdout } = await run(t, { cwd }, 'status');
  assert.equal(exitCode, 69);
  assert.match(stdout, /there is no database yet/);
  assert.ok(!existsSync(path.join(cwd, '.ecompipe')) && !existsSync(path.join(cwd, 'data')));
});

test('status --watch goes on until a signal; with --json each look is a line', async (t) => {
  const { env } = await migratedDatabase(t);
  const { child, end } = start(t, { cwd: project(t), env }, 'status', '--watch', '--every', '10ms', '--json');
  await new Promise<void>((resolve) => {
    let lines = 0;
    child.stdout!.on('data', (text: string) => {
      lines += text.split('\n').filter(Boolean).length;
      if (lines >= 3) resolve();
    });
  });
  child.kill('SIGTERM');
  const { exitCode, stdout } = await end;
  assert.equal(exitCode, 0);
  for (const line of stdout.trim().split('\n').filter(Boolean)) assert.ok(JSON.parse(line));
});
