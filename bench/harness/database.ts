import path from 'node:path';
import pg from 'pg';
import { clientConfig, resolveConnection, type ConnectionSettings } from '../../src/core/db/connectionSettings.js';
import { attachEmbeddedServer } from '../../src/core/db/embedded/index.js';
import { silentLogger } from '../../src/core/runtime/log.js';
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
  /** Empties table and ledger and writes out what is dirty, so that no run pays for the one before. */
  readonly reset: () => Promise<void>;
}

const DATABASE = 'ecompipe_bench';

/**
 * Runs `action` with an empty database `ecompipe_bench` on the server at `url`, or on an embedded server in `cacheDir`,
 * with exactly the settings that every user of the embedded server gets (durable). Drops the database and stops the server afterwards, whatever happens.
 */
export async function withBenchDatabase<T>(url: string | undefined, cacheDir: string, stop: AbortSignal, action: (database: BenchDatabase) => Promise<T>): Promise<T> {
  if (url !== undefined) return await onServer(connectionOf(url), undefined, action);
  const embeddedDir = path.join(cacheDir, 'server');
  const lease = await attachEmbeddedServer({ directory: embeddedDir, log: silentLogger, signal: stop });
  try {
    return await onServer({ ...lease.connection, sslMode: 'disable' }, embeddedDir, action);
  } finally {
    await lease.release();
  }
}

/** A second database beside the bench's own, for what needs other contents. */
export async function withOtherDatabase<T>(beside: BenchDatabase, suffix: string, action: (database: BenchDatabase) => Promise<T>): Promise<T> {
  return await inDatabase(beside.settings, `${DATABASE}_${suffix}`, beside.embeddedDir, action);
}

async function onServer<T>(server: ConnectionSettings, embeddedDir: string | undefined, action: (database: BenchDatabase) => Promise<T>): Promise<T> {
  return await inDatabase(server, DATABASE, embeddedDir, action);
}

async function inDatabase<T>(server: ConnectionSettings, name: string, embeddedDir: string | undefined, action: (database: BenchDatabase) => Promise<T>): Promise<T> {
  await execute(server, `drop database if exists ${name} with (force)`);
  await execute(server, `create database ${name}`);
  const settings = { ...server, database: name };
  const database = await openDatabase(settings, embeddedDir);
  try {
    await runEcompipe(['migrate'], database);
    return await action(database);
  } finally {
    await database.close();
    await execute(server, `drop database if exists ${name} with (force)`);
  }
}

async function openDatabase(settings: ConnectionSettings, embeddedDir: string | undefined): Promise<BenchDatabase & { close: () => Promise<void> }> {
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ ...clientConfig(settings, settings.sslMode.startsWith('verify') || settings.sslMode === 'require'), application_name: 'ecompipe bench' });
    await client.connect();
    return client;
  };
  const client = await connect();
  const query = async <Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<Row[]> => (await client.query<Row>(sql, [...values])).rows;
  const [version] = await query<{ server_version: string }>('show server_version');
  return {
    settings,
    env: { DATABASE_URL: urlOf(settings) },
    libpqEnv: { PGHOST: settings.host, PGPORT: String(settings.port), PGDATABASE: settings.database, PGUSER: settings.user, PGPASSWORD: settings.password, PGSSLMODE: settings.sslMode },
    embeddedDir,
    serverVersion: version?.server_version.split(' ')[0] ?? '',
    query,
    connect,
    reset: async () => {
      // The ledger is whatever knows files or batches; the reference data beside it stays.
      const tables = await query<{ name: string }>(`select distinct format('%I.%I', table_schema, table_name) as name from information_schema.columns where table_schema = 'ecompipe' and column_name in ('batch_id', 'file_id')`);
      await query(`truncate ${['public.events', ...tables.map(({ name }) => name)].join(', ')}`);
      await query('checkpoint');
    },
    close: async () => client.end(),
  };
}

async function execute(settings: ConnectionSettings, sql: string): Promise<void> {
  const client = new pg.Client({ ...clientConfig(settings, settings.sslMode.startsWith('verify') || settings.sslMode === 'require'), application_name: 'ecompipe bench' });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function connectionOf(url: string): ConnectionSettings {
  const none = { host: undefined, port: undefined, database: undefined, user: undefined, password: undefined, sslMode: undefined, sslRootCert: undefined };
  const settings = resolveConnection({ ...none, databaseUrl: url }, {});
  if (settings === undefined) throw new TypeError('--database: expected postgresql://user:password@host:port/database');
  return settings;
}

function urlOf({ user, password, host, port, database, sslMode }: ConnectionSettings): string {
  const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`;
  return `postgresql://${encodeURIComponent(user)}${secret}@${host}:${port}/${database}?sslmode=${sslMode}`;
}
