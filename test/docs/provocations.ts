import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { csv, emptyDatabase, EXECUTABLE, migratedDatabase, project, run, start } from '../cli/executable.js';

/** Brings the program to say something of docs/troubleshooting.md. @returns all that it said, undefined where this machine does not allow it. */
type Provocation = (t: TestContext) => Promise<string | undefined>;

const NOBODY = 65_534;
const asRoot = process.getuid?.() === 0;

/** What one run in a new project says. `files` are by path; `env` is the database's and others. */
async function say(
  t: TestContext,
  args: readonly string[],
  {
    files = {},
    env = {},
    uid,
    cwd = project(t),
  }: { files?: Record<string, string>; env?: Readonly<Record<string, string>>; uid?: number; cwd?: string } = {},
): Promise<string> {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(cwd, file)), { recursive: true });
    writeFileSync(path.join(cwd, file), content);
  }
  const { stdout, stderr } = await run(t, { cwd, env, ...(uid === undefined ? {} : { uid }) }, ...args);
  return stdout + stderr;
}

const AWAY = { POSTGRES_HOST: '127.0.0.1', POSTGRES_PORT: '1' };
const incoming = (name: string, content: string): { files: Record<string, string> } => ({
  files: { [`data/incoming/${name}`]: content },
});

async function load(t: TestContext, name: string, content: string, ...args: readonly string[]): Promise<string> {
  const { env } = await migratedDatabase(t);
  return await say(t, ['stream', '--once', ...args], { env, files: { [`data/processing/${name}`]: content } });
}

/** Loads a file, changes something, and loads again. */
async function loadTwice(
  t: TestContext,
  change: (cwd: string) => void | Promise<void>,
  secondEnv?: Readonly<Record<string, string>>,
): Promise<string> {
  const { env } = await migratedDatabase(t);
  const cwd = project(t);
  await say(t, ['stream', '--once'], { cwd, env, files: { 'data/processing/orders.csv': csv(2) } });
  await change(cwd);
  return await say(t, ['stream', '--once'], { cwd, env: secondEnv ?? env });
}

async function migrationsChanged(t: TestContext, sql: string): Promise<string> {
  const database = await migratedDatabase(t);
  await database.query(sql);
  return await say(t, ['stream', '--once'], { env: database.env });
}

export const PROVOCATIONS: Readonly<Record<string, Provocation>> = {
  'other-ending': (t) => say(t, ['move', '--once'], incoming('orders.txt', 'a')),
  empty: (t) => say(t, ['move', '--once'], incoming('orders.csv', '')),
  'still-written': async (t) => {
    const cwd = project(t);
    const file = path.join(cwd, 'data/incoming/orders.csv');
    mkdirSync(path.dirname(file), { recursive: true });
    const writer = setInterval(() => appendFileSync(file, 'x'), 5);
    try {
      // Longer than this process could be kept from writing on a busy machine.
      return await say(t, ['move', '--once', '--settle', '500'], { cwd });
    } finally {
      clearInterval(writer);
    }
  },
  redelivered: (t) => loadTwice(t, (cwd) => writeFileSync(path.join(cwd, 'data/processing/orders-2.csv'), csv(2))),
  'left-alone': (t) =>
    loadTwice(t, (cwd) => {
      mkdirSync(path.join(cwd, 'data/processing/old'));
      writeFileSync(path.join(cwd, 'data/processing/orders.jsonl'), '{}');
    }),
  'no-directory': (t) => say(t, ['stream', '--once', '--input-dir', 'nope'], { env: AWAY }),
  refused: (t) => say(t, ['migrate', '--retry-for', '0.2'], { env: AWAY }),
  'service-name': (t) => say(t, ['migrate', '--retry-for', '0.2'], { files: { '.env': 'POSTGRES_HOST=postgres\n' } }),
  'wrong-password': async (t) =>
    say(t, ['migrate'], { env: { ...(await emptyDatabase(t)).env, POSTGRES_PASSWORD: 'wrong' } }),
  'no-password': async (t) => say(t, ['migrate'], { env: { ...(await emptyDatabase(t)).env, POSTGRES_PASSWORD: '' } }),
  'no-database': async (t) => say(t, ['migrate'], { env: { ...(await emptyDatabase(t)).env, POSTGRES_DB: 'shop' } }),
  'no-tls': async (t) => say(t, ['migrate'], { env: { ...(await emptyDatabase(t)).env, POSTGRES_SSLMODE: 'require' } }),
  'no-schema': async (t) => say(t, ['stream', '--once'], { env: (await emptyDatabase(t)).env }),
  'no-right': async (t) => {
    const database = await migratedDatabase(t);
    await database.query(`create role ${roleOf(database.env)} login password 'x'`);
    t.after(() =>
      database.query(`drop owned by ${roleOf(database.env)}; drop role ${roleOf(database.env)}`).catch(() => undefined),
    );
    return await say(t, ['stream', '--once'], {
      env: { ...database.env, POSTGRES_USER: roleOf(database.env), POSTGRES_PASSWORD: 'x' },
    });
  },
  'directory-closed': async (t) => {
    if (asRoot && spawnSync('test', ['-r', EXECUTABLE], { uid: NOBODY, gid: NOBODY }).status !== 0) return undefined;
    const cwd = project(t);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o555 });
    if (asRoot) chownSync(path.join(cwd, 'data'), 0, 0);
    const said = await say(t, ['generate', '--events', '1'], { cwd, ...(asRoot ? { uid: NOBODY } : {}) });
    chmodSync(path.join(cwd, 'data'), 0o755);
    return said;
  },
  'foreign-embedded': async (t) => {
    if (!asRoot) return undefined;
    const cwd = project(t);
    mkdirSync(path.join(cwd, '.ecompipe'));
    chownSync(path.join(cwd, '.ecompipe'), NOBODY, NOBODY);
    return await say(t, ['migrate'], { cwd });
  },
  'disk-full': async (t) => {
    const cwd = project(t);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'ecompipe-test', cwd]).status !== 0) return undefined;
    return await say(t, ['generate', '--interval', '0', '--batch-size', '500'], { cwd }).finally(() =>
      spawnSync('umount', ['-l', cwd]),
    );
  },
  'events-there': async (t) => {
    const database = await emptyDatabase(t);
    await database.query('create table events (event_id text)');
    return await say(t, ['migrate'], { env: database.env });
  },
  'schema-newer': (t) =>
    migrationsChanged(
      t,
      "insert into public.ecompipe_migrations (version, name, checksum) select max(version) + 1, '099_loyalty.sql', 'x' from public.ecompipe_migrations",
    ),
  'migration-edited': (t) =>
    migrationsChanged(t, "update public.ecompipe_migrations set checksum = repeat('a', 64) where version = 2"),
  'another-instance': async (t) => {
    const { env } = await migratedDatabase(t);
    const cwd = project(t);
    const first = start(t, { cwd, env }, 'stream');
    await first.said('loading');
    const said = await say(t, ['stream', '--once'], { cwd, env });
    first.child.kill('SIGTERM');
    await first.end;
    return said;
  },
  'other-database': async (t) => loadTwice(t, () => undefined, (await migratedDatabase(t)).env),
  'checkpoint-ahead': (t) =>
    loadTwice(t, (cwd) => {
      const file = path.join(cwd, 'checkpoints/stream.json');
      const checkpoint = JSON.parse(readFileSync(file, 'utf8')) as { recent: object[] };
      const recent = checkpoint.recent.map((batch) => ({ ...batch, batchId: 4711 }));
      writeFileSync(file, JSON.stringify({ ...checkpoint, recent }));
    }),
  'checkpoint-damaged': (t) => loadTwice(t, (cwd) => writeFileSync(path.join(cwd, 'checkpoints/stream.json'), '{')),
  rejected: (t) => load(t, 'orders.csv', csv(2, 1)),
  'too-many-rejected': (t) => load(t, 'orders.csv', csv(2, 1), '--max-rejected', '10%'),
  quarantined: (t) => load(t, 'orders.csv', `${csv(0).trim()},sku\n`),
  'other-delimiter': (t) => load(t, 'orders.csv', csv(1).replaceAll(',', ';')),
  'unknown-setting': (t) => say(t, ['generate', '--events', '1'], { env: { ECOMPIPE_BATCHSIZE: '3' } }),
  'port-taken': async (t) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    t.after(() => taken.close());
    return await say(t, ['generate', '--metrics-port', String((taken.address() as AddressInfo).port)]);
  },
  'no-token': (t) => say(t, ['generate', '--metrics-port', '0', '--metrics-host', '0.0.0.0']),
  'no-database-yet': (t) => say(t, ['status']),
  'db-with-a-configured-database': (t) => say(t, ['db', 'url'], { env: AWAY }),
  'no-psql': (t) => say(t, ['db', 'psql'], { env: { ...AWAY, PATH: '/nonexistent' } }),
  'dump-incomplete': async (t) => {
    const database = await migratedDatabase(t);
    await database.query('create view public.best_sellers as select 1 as rank');
    return await say(t, ['db', 'dump', 'shop.dump'], { env: database.env });
  },
  'restore-not-empty': async (t) => {
    const { env } = await migratedDatabase(t);
    const cwd = project(t);
    await say(t, ['db', 'dump', 'shop.dump'], { cwd, env });
    return await say(t, ['db', 'restore', 'shop.dump'], { cwd, env });
  },
  'other-major': (t) =>
    say(t, ['migrate'], {
      files: { '.ecompipe/postgres/data/PG_VERSION': '17\n', '.ecompipe/postgres/password': 'x\n' },
    }),
  'leads-nowhere': async (t) => {
    const cwd = project(t);
    mkdirSync(path.join(cwd, '.ecompipe'));
    symlinkSync('/nonexistent/data', path.join(cwd, '.ecompipe/postgres'));
    return await say(t, ['migrate'], { cwd });
  },
};

/** Roles belong to the whole server: one for each database. */
function roleOf(env: Readonly<Record<string, string>>): string {
  return `reader_${env['POSTGRES_DB']}`;
}
