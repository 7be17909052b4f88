import { EcompipeError, EXIT, type ErrorFacts, type ExitCode } from '../errors.js';
import { describeConnection, type ConnectionSettings } from './connectionSettings.js';
import { classifyError, hintFor, serverMessage, sqlStateOf } from './sqlState.js';

/** The database said no in a way that only a person can mend, or was away for too long. */
export class DatabaseError extends EcompipeError {
  override readonly name = 'DatabaseError';
  constructor(
    exitCode: ExitCode,
    readonly sqlState: string | undefined,
    facts: ErrorFacts,
  ) {
    super(exitCode, facts);
  }
}

/** Explains a fatal server error: 77 for missing rights and wrong passwords, 2 for what is configured wrongly. */
export function fatalDatabaseError(what: string, error: unknown): EcompipeError {
  if (error instanceof EcompipeError) return error;
  const sqlState = sqlStateOf(error);
  const rights = sqlState?.startsWith('28') === true || sqlState === '42501';
  return new DatabaseError(rights ? EXIT.permission : EXIT.usage, sqlState, facts(what, error));
}

/** The database was away, or kept failing, for longer than `--retry-for`. */
export function unavailableError(what: string, error: unknown, waitedMs: number): EcompipeError {
  const tried = waitedMs < 500 ? 'not tried again' : `gave up after ${Math.round(waitedMs / 1000)} s of retries`;
  return new DatabaseError(EXIT.unavailable, sqlStateOf(error), {
    ...facts(what, error),
    outcome: `${tried}; nothing is lost, start again when the database is back`,
  });
}

/** TLS was required and the server has none. */
export function noTlsError(settings: ConnectionSettings, cause: unknown): EcompipeError {
  return new DatabaseError(EXIT.usage, undefined, {
    what: `cannot connect to PostgreSQL at ${describeConnection(settings)}`,
    why: `the server does not offer TLS, and sslmode ${settings.sslMode} asks for it`,
    hint: 'turn TLS on in the server (ssl = on), or allow connections without it: POSTGRES_SSLMODE=prefer',
    cause,
  });
}

/** The server wants a password and there is none. */
export function noPasswordError(settings: ConnectionSettings, cause: unknown): EcompipeError {
  return new DatabaseError(EXIT.permission, undefined, {
    what: `cannot connect to PostgreSQL at ${describeConnection(settings)}`,
    why: `the server asks for the password of user ${settings.user}, and none is configured`,
    hint: 'set POSTGRES_PASSWORD, or put it into DATABASE_URL, PGPASSWORD or ~/.pgpass',
    cause,
  });
}

function facts(what: string, error: unknown): ErrorFacts {
  const hint = hintFor(error);
  return { what, why: serverMessage(error), ...(hint === undefined ? {} : { hint }), cause: error };
}

/** What ended an action that is not tried again: {@link unavailableError} where a retry might have helped, else {@link explainIfFinal}. */
export function explainFailure(what: string, error: unknown): unknown {
  return classifyError(error) === 'retry' ? unavailableError(what, error, 0) : explainIfFinal(what, error);
}

/** Makes an error that no retry will mend explain itself; passing failures and bugs come back as they are. */
export function explainIfFinal(what: string, error: unknown): unknown {
  const kind = classifyError(error);
  return kind === 'row' || kind === 'fatal' ? fatalDatabaseError(what, error) : error;
}
