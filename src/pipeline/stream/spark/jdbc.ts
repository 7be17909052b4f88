import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Connection } from '../../../platform/db/client.js';
import type { ConnectionSettings } from '../../../platform/db/connectionSettings.js';
import { PIN_SETTINGS } from '../../../platform/db/sessionSettings.js';
import { UsageError } from '../../../platform/errors.js';
import type { SparkInstallation } from './installation.js';
import { notPrepared, type JarsDirectory } from './jobJar.js';
import type { ToJob } from './messages.js';
import type { SparkConf } from './sparkConf.js';
import { hasJdbcDriver } from './submit.js';

/** Ignoring these would connect elsewhere, or less safely, than was asked for. */
const NOT_IN_JDBC = [
  'hostAddress',
  'sslCert',
  'sslKey',
  'sslPassword',
  'sslCrl',
  'minTlsVersion',
  'maxTlsVersion',
  'options',
] as const satisfies readonly (keyof ConnectionSettings)[];

/**
 * What a value means must not depend on the role's or the JVM's settings there either. What executors write is staged
 * again after a crash of the server: nothing has to wait for its disk.
 */
const EXECUTOR_SESSION = `${PIN_SETTINGS}; set synchronous_commit = off`;

/**
 * Our connection in the words of PostgreSQL's JDBC driver, for the executors. The password is the one that worked here,
 * wherever it came from (~/.pgpass is not on the executors); it travels in Spark's own messages, never on a command line.
 * @throws UsageError for a Unix socket, which the JVM can't use.
 */
export function jdbcOptions(
  settings: ConnectionSettings,
  connection: Connection,
): Extract<ToJob, { type: 'start' }>['database'] {
  const { host, port, database, user, sslMode, sslRootCert } = settings;
  if (host.startsWith('/'))
    throw new UsageError([
      `POSTGRES_HOST ${JSON.stringify(host)}: --engine spark needs TCP, as the JVM knows no Unix sockets`,
    ]);
  const unsupported = NOT_IN_JDBC.filter((name) => settings[name] !== undefined);
  if (unsupported.length > 0)
    throw new UsageError(
      unsupported.map((name) => `--engine spark does not support the connection's ${name}; use --engine native`),
    );
  const verifies = sslMode === 'verify-ca' || sslMode === 'verify-full';
  // Without a certificate of ours the JVM's own authorities count, as the system's do in Node.
  const trust =
    sslRootCert !== undefined
      ? { sslrootcert: path.resolve(sslRootCert) }
      : verifies
        ? { sslfactory: 'org.postgresql.ssl.DefaultJavaSSLFactory' }
        : {};
  const password = (connection.client as { password?: string | null }).password;
  return {
    url: `jdbc:postgresql://${host.includes(':') ? `[${host}]` : host}:${port}/${encodeURIComponent(database)}`,
    properties: {
      user,
      ...(password ? { password } : {}),
      sslmode: sslMode,
      ...trust,
      ApplicationName: 'ecompipe executor',
      tcpKeepAlive: 'true',
      connectTimeout: '10',
    },
    session: EXECUTOR_SESSION,
  };
}

/**
 * The driver's jar: the one that was named, else the one that Spark has, else the one that `ecompipe spark prepare` has
 * fetched; undefined when Spark shall fetch it, or has it by its settings.
 */
export function findJdbcDriver(
  named: string | undefined,
  { home }: SparkInstallation,
  jars: JarsDirectory,
  conf: SparkConf,
): string | undefined {
  if (named !== undefined) {
    if (!existsSync(named)) throw new UsageError([`--jdbc-driver ${JSON.stringify(named)}: there is no such file`]);
    return path.resolve(named);
  }
  const found = jdbcDriverIn(path.join(home, 'jars')) ?? jdbcDriverIn(jars.directory);
  if (found === undefined && jars.isPrepared && !hasJdbcDriver(conf))
    throw notPrepared(jars, "PostgreSQL's JDBC driver");
  return found;
}

function jdbcDriverIn(directory: string): string | undefined {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const found = names.find((name) => /^postgresql-\d.*\.jar$/.test(name));
  return found === undefined ? undefined : path.join(directory, found);
}
