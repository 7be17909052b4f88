import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { EcompipeError, errnoOf, EXIT } from '../errors.js';
import type { ConnectionSettings } from './connectionSettings.js';
import { LIBPQ_KEYWORDS } from './libpqKeywords.js';

export interface PsqlOptions {
  /** psql's own arguments. */
  readonly args: readonly string[];
  /** Where else a psql may be when PATH has none. */
  readonly fallback?: string | undefined;
  /** Ends it. Ctrl-C in a terminal is psql's own business: it cancels a query. */
  readonly signal: AbortSignal;
}

/**
 * Runs psql on a database, with our standard input and output. Where the database is, and the password, are in its
 * environment: every user of the machine can read a command line (`ps`), the environment only ours.
 * @returns psql's exit code; 128 and the number of the signal where one ended it, as a shell says it.
 * @throws EcompipeError (69) when there is no psql.
 */
export async function runPsql(settings: ConnectionSettings, { args, fallback, signal }: PsqlOptions): Promise<number> {
  const env = libpqEnvironment(settings, process.env);
  for (const program of ['psql', ...(fallback === undefined ? [] : [fallback])]) {
    try {
      return await runProgram(program, args, env, signal);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  throw new EcompipeError(EXIT.unavailable, {
    what: 'there is no psql on PATH',
    why: 'the embedded PostgreSQL comes without it',
    hint: "install PostgreSQL's client programs (Debian: apt install postgresql-client; macOS: brew install libpq), or give another client what `ecompipe db url --with-password` prints",
  });
}

async function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit', env });
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    return await new Promise<number>((resolve, reject) =>
      child
        .once('error', reject)
        .once('close', (code, killedBy) =>
          resolve(code ?? 128 + (killedBy === null ? 0 : constants.signals[killedBy])),
        ),
    );
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/**
 * The environment in which a program of PostgreSQL connects as we do (PostgreSQL manual, 32.15): what `environment` says
 * of another connection is taken out.
 */
export function libpqEnvironment(settings: ConnectionSettings, environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const variables = Object.values(LIBPQ_KEYWORDS).flatMap(({ variable }) => variable ?? []);
  const others = Object.entries(environment).filter(([name]) => !variables.includes(name));
  const { connectTimeoutMs, requireAuth, sslMode, sslRootCert } = settings;
  const ours = {
    PGHOST: settings.host,
    PGHOSTADDR: settings.hostAddress,
    PGPORT: String(settings.port),
    PGDATABASE: settings.database,
    PGUSER: settings.user,
    // Without one, libpq asks the password file, as we do.
    PGPASSWORD: settings.password,
    PGSSLMODE: sslMode,
    // Without one we trust Node's public authorities; libpq would look for a file in the home directory.
    PGSSLROOTCERT: sslRootCert ?? (sslMode === 'verify-full' ? 'system' : undefined),
    PGSSLCERT: settings.sslCert,
    PGSSLKEY: settings.sslKey,
    PGSSLCRL: settings.sslCrl,
    PGSSLMINPROTOCOLVERSION: settings.minTlsVersion,
    PGSSLMAXPROTOCOLVERSION: settings.maxTlsVersion,
    PGREQUIREAUTH: requireAuth?.join(','),
    PGOPTIONS: settings.options,
    PGAPPNAME: settings.applicationName,
    PGCONNECT_TIMEOUT: connectTimeoutMs === undefined ? undefined : String(Math.ceil(connectTimeoutMs / 1000)),
  };
  return Object.fromEntries([...others, ...Object.entries(ours).filter(([, value]) => value !== undefined)]);
}
