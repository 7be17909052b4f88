import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { clientConfig, resolveConnection, type ConnectionSettings } from '../../src/platform/db/connectionSettings.js';
import { attachEmbeddedServer } from '../../src/platform/db/embedded/index.js';
import { silentLogger } from '../../src/platform/log.js';
import { runEcompipe } from './ecompipe.js';

/** A database of the bench's own, with the schema, on the server under test. */
export interface BenchDatabase {
  readonly settings: ConnectionSettings;
  /** Makes a spawned ecompipe use it. */
  readonly env: NodeJS.ProcessEnv;
  /** Makes a spawned libpq program (psql, pgloader) use it. */
  readonly libpqEnv: NodeJS.ProcessEnv;
  /** Home of the embedded server; undefined with --database. */
  readonly embeddedDir: string | undefined;
  readonly serverVersion: string;
  readonly query: <Row extends pg.QueryResultRow>(sql: string, values?: readonly unknown[]) => Promise<Row[]>;
  /** Opens a connection of its own, which the caller ends. */
  readonly connect: () => Promise<pg.Client>;
  /** Makes the database anew and writes out what is dirty, so that no run pays for the one before. */
  readonly reset: () => Promise<void>;
}

const DATABASE = 'ecompipe_bench';

/**
 * Runs `action` with an empty database `ecompipe_bench` on the server at `url`, or on an embedded server in `cacheDir`,
 * with exactly the settings that every user of the embedded server gets (durable). Drops the database and stops the
 * server afterwards, whatever happens.
 */
export async function withBenchDatabase<T>(
  url: string | undefined,
  cacheDir: string,
  stop: AbortSignal,
  action: (database: BenchDatabase) => Promise<T>,
): Promise<T> {
  if (url !== undefined) return await inDatabase(connectionOf(url), DATABASE, undefined, action);
  const embeddedDir = path.join(cacheDir, 'server');
  const lease = await attachEmbeddedServer({ directory: embeddedDir, log: silentLogger, signal: stop });
  try {
    const server: ConnectionSettings = { ...lease.connection, database: 'postgres', sslMode: 'disable' };
    // The one that commands use by themselves may have the schema of an earlier version; they make it anew.
    await execute(server, `drop database if exists ${lease.connection.database} with (force)`);
    await allowCheckpoints(server, embeddedDir);
    return await inDatabase(server, DATABASE, embeddedDir, action);
  } finally {
    await lease.release();
  }
}

/** The role of the embedded database is not a superuser, and needs no CHECKPOINT of its own; a bench does, before each run. */
async function allowCheckpoints(server: ConnectionSettings, embeddedDir: string): Promise<void> {
  const file = path.join(embeddedDir, 'postgres', 'superuser-password');
  // A server that an earlier version made has one role, which may do everything.
  if (!existsSync(file)) return;
  const superuser = { ...server, user: 'postgres', password: readFileSync(file, 'utf8').trim() };
  await execute(superuser, `grant pg_checkpoint to ${server.user}`);
}

/** A second database beside the bench's own, for what needs other contents. @param executable of the build that makes its schema. Default: ours. */
export async function withOtherDatabase<T>(
  beside: BenchDatabase,
  suffix: string,
  action: (database: BenchDatabase) => Promise<T>,
  executable?: string,
): Promise<T> {
  return await inDatabase(beside.settings, `${DATABASE}_${suffix}`, beside.embeddedDir, action, executable);
}

async function inDatabase<T>(
  server: ConnectionSettings,
  name: string,
  embeddedDir: string | undefined,
  action: (database: BenchDatabase) => Promise<T>,
  executable?: string,
): Promise<T> {
  const template = { ...server, database: `${name}_empty` };
  const database = new Database({ ...server, database: name }, server, template.database, embeddedDir);
  try {
    await recreate(server, template.database, 'template0');
    await runEcompipe(['migrate'], { env: { DATABASE_URL: urlOf(template) }, executable });
    await database.reset();
    return await action(database);
  } finally {
    await database.close();
    for (const each of [name, template.database]) await execute(server, `drop database if exists ${each} with (force)`);
  }
}

/** What the schema consists of changes with the project; a copy of an empty one is empty whatever it is. */
class Database implements BenchDatabase {
  serverVersion = '';
  readonly env: NodeJS.ProcessEnv;
  readonly libpqEnv: NodeJS.ProcessEnv;
  private client: pg.Client | undefined;

  constructor(
    readonly settings: ConnectionSettings,
    private readonly server: ConnectionSettings,
    private readonly template: string,
    readonly embeddedDir: string | undefined,
  ) {
    this.env = { DATABASE_URL: urlOf(settings) };
    this.libpqEnv = {
      PGHOST: settings.host,
      PGPORT: String(settings.port),
      PGDATABASE: settings.database,
      PGUSER: settings.user,
      PGPASSWORD: settings.password,
      PGSSLMODE: settings.sslMode,
    };
  }

  async query<Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    this.client ??= await this.connect();
    return (await this.client.query<Row>(sql, [...values])).rows;
  }

  async connect(): Promise<pg.Client> {
    return await connect(this.settings);
  }

  async reset(): Promise<void> {
    await this.close();
    await recreate(this.server, this.settings.database, this.template);
    await this.query('checkpoint');
    const [version] = await this.query<{ server_version: string }>('show server_version');
    this.serverVersion = version?.server_version.split(' ')[0] ?? '';
  }

  async close(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    await client?.end();
  }
}

async function recreate(server: ConnectionSettings, name: string, template: string): Promise<void> {
  await execute(server, `drop database if exists ${name} with (force)`);
  await execute(server, `create database ${name} template ${template}`);
}

async function connect(settings: ConnectionSettings): Promise<pg.Client> {
  const tls = settings.sslMode === 'require' || settings.sslMode.startsWith('verify');
  // Named like our own sessions, so that the embedded server does not stay up for it.
  const client = new pg.Client({ ...clientConfig(settings, tls), application_name: 'ecompipe bench' });
  await client.connect();
  return client;
}

async function execute(settings: ConnectionSettings, sql: string): Promise<void> {
  const client = await connect(settings);
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function connectionOf(url: string): ConnectionSettings {
  const none = {
    host: undefined,
    port: undefined,
    database: undefined,
    user: undefined,
    password: undefined,
    sslMode: undefined,
    sslRootCert: undefined,
  };
  const settings = resolveConnection({ ...none, databaseUrl: url }, {});
  if (settings === undefined) throw new TypeError('--database: expected postgresql://user:password@host:port/database');
  return settings;
}

function urlOf({ user, password, host, port, database, sslMode }: ConnectionSettings): string {
  const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`;
  return `postgresql://${encodeURIComponent(user)}${secret}@${host}:${port}/${database}?sslmode=${sslMode}`;
}
