import { EcompipeError, EXIT, type ErrorFacts, type ExitCode } from '../runtime/errors.js';
import { classifyError, hintFor, serverWords, sqlStateOf } from './sqlState.js';

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
  return new DatabaseError(EXIT.unavailable, sqlStateOf(error), { ...facts(what, error), done: `gave up after ${Math.round(waitedMs / 1000)} s of retries; nothing is lost, start again when the database is back` });
}

function facts(what: string, error: unknown): ErrorFacts {
  const hint = hintFor(error);
  return { what, why: serverWords(error), ...(hint === undefined ? {} : { hint }), cause: error };
}

/** Makes an error that no retry will mend explain itself; passing failures and bugs come back as they are. */
export function explainIfFinal(what: string, error: unknown): unknown {
  const kind = classifyError(error);
  return kind === 'row' || kind === 'fatal' ? fatalDatabaseError(what, error) : error;
}
