import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { csv, migratedDatabase, project, start } from '../cli/executable.js';
import type { TestDatabase } from '../helpers/postgres.js';

const PLANTED = 'pl4nted-Secret%2F';

/** How a password can be given. */
const WAYS: Readonly<Record<string, (database: TestDatabase, user: string, home: string) => Record<string, string>>> = {
  POSTGRES_PASSWORD: ({ env }, user) => ({ ...env, POSTGRES_USER: user, POSTGRES_PASSWORD: PLANTED }),
  DATABASE_URL: ({ host, port, database }, user) => ({
    DATABASE_URL: `postgresql://${user}:${encodeURIComponent(PLANTED)}@${host}:${port}/${database}`,
  }),
  PGPASSWORD: ({ host, port, database }, user) => ({
    PGHOST: host,
    PGPORT: String(port),
    PGDATABASE: database,
    PGUSER: user,
    PGPASSWORD: PLANTED,
  }),
  '~/.pgpass': ({ host, port, database }, user, home) => {
    writeFileSync(path.join(home, '.pgpass'), `${host}:${port}:${database}:${user}:${PLANTED}\n`);
    chmodSync(path.join(home, '.pgpass'), 0o600);
    return { PGHOST: host, PGPORT: String(port), PGDATABASE: database, PGUSER: user };
  },
  '.env': ({ env }, user, home) => {
    writeFileSync(
      path.join(home, '.env'),
      Object.entries({ ...env, POSTGRES_USER: user, POSTGRES_PASSWORD: PLANTED })
        .map(([name, value]) => `${name}='${value}'\n`)
        .join(''),
    );
    return {};
  },
};

/** All files below a directory, but those in which a test has put the password. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile() && !['.pgpass', '.env'].includes(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

for (const [way, environment] of Object.entries(WAYS)) {
  test(`a password given by ${way} opens the database, and stands in no output, file or process list`, async (t) => {
    const database = await migratedDatabase(t);
    const role = `planted_${database.database}`;
    await database.query(`create role ${role} superuser login password '${PLANTED}'`);
    const cwd = project(t, 'password');
    mkdirSync(path.join(cwd, 'data/processing'), { recursive: true });
    writeFileSync(path.join(cwd, 'data/processing/a.csv'), csv(3, 1));
    writeFileSync(path.join(cwd, 'data/processing/bad.csv'), 'no,header\n');
    const env = { HOME: cwd, ...environment(database, role, cwd) };
    const secrets = [PLANTED, encodeURIComponent(PLANTED), 'pl4nted'];
    const assertSilent = (what: string, text: string): void =>
      assert.ok(
        secrets.every((secret) => !text.includes(secret)),
        `${what}: ${text}`,
      );
    for (const [exitCode, ...args] of [
      [0, 'stream', '--once', '--log-level', 'debug', '--log-format', 'json'],
      [0, 'run-all', '--events', '5', '--interval', '0', '--until-drained', '--log-level', 'debug'],
      [0, 'rejects', 'list', '--json'],
      [0, 'status', '--json'],
      [0, 'migrate', '--status', '--json'],
      [2, 'undo', '--file', 'nope', '--yes', '--log-format', 'json'],
      [0, 'stream', '--help'],
    ] as const) {
      const { child, end } = start(t, { cwd, env }, ...args);
      assertSilent('ps', readFileSync(`/proc/${child.pid}/cmdline`, 'utf8'));
      const ended = await end;
      assert.equal(ended.exitCode, exitCode, `${args.join(' ')}: ${ended.stderr}`);
      assertSilent(args.join(' '), ended.stdout + ended.stderr);
    }
    for (const file of filesIn(cwd)) assertSilent(file, readFileSync(file, 'utf8'));
    assert.deepEqual(await database.query<{ count: number }>('select count(*)::int from ecompipe.rejected_rows'), [
      { count: 1 },
    ]);
  });
}
