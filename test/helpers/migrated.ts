import { withDatabase, type Database } from '../../src/platform/db/target.js';
import { silentLogger, type Logger } from '../../src/platform/log.js';
import { loadMigrations } from '../../src/pipeline/migrate/migrations.js';
import { runMigrate } from '../../src/pipeline/migrate/runMigrate.js';
import { startTestServer, type TestConnection, type TestDatabase, type TestServer } from './postgres.js';

/** How a test reaches its database: `via` goes there through another port, such as a proxy's. */
export interface Access {
  readonly retryForMs?: number;
  readonly stop?: AbortSignal;
  readonly log?: Logger;
  readonly via?: { readonly port: number };
}

const NO_URL = {
  databaseUrl: undefined,
  sslRootCert: undefined,
  sslMode: 'disable',
  embeddedDir: '/nonexistent',
} as const;

/** Runs `action` on a test database as the commands do on a configured one. */
export async function onDatabase<T>(
  test: TestConnection,
  { retryForMs = 20_000, stop = new AbortController().signal, log = silentLogger, via }: Access,
  action: (database: Database) => Promise<T>,
): Promise<T> {
  const { host, database, user, password } = test;
  return await withDatabase(
    { ...NO_URL, host, port: via?.port ?? test.port, database, user, password, retryForMs },
    { log, stop },
    action,
  );
}

/** A database of its own with the newest schema, on the server of this test process or on another one. */
export async function migratedDatabase(
  on?: Pick<TestServer, 'createTemplate' | 'createDatabase'>,
): Promise<TestDatabase> {
  const server = on ?? (await startTestServer());
  const template = await server.createTemplate('migrated', (database) =>
    onDatabase(database, {}, (target) => runMigrate(target, 'apply', { log: silentLogger })).then(() => undefined),
  );
  return await server.createDatabase({ template });
}

/** A database of its own with the schema from before migration `version`, as an older ecompipe has left it. */
export async function databaseBefore(version: number): Promise<TestDatabase> {
  const server = await startTestServer();
  const database = await server.createDatabase();
  await database.query(
    'create table public.ecompipe_migrations (version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default clock_timestamp())',
  );
  for (const { version: number, name, sql, checksum } of (await loadMigrations()).slice(0, version - 1)) {
    await database.query(sql);
    await database.query('insert into public.ecompipe_migrations (version, name, checksum) values ($1, $2, $3)', [
      number,
      name,
      checksum,
    ]);
  }
  return database;
}
