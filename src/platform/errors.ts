import { printableLine } from './printable.js';

/** Exit codes of every command. 69, 74 and 77 are those of BSD's sysexits.h. */
export const EXIT = {
  done: 0,
  bug: 1,
  usage: 2,
  rowsRejected: 3,
  rejectLimit: 4,
  owned: 5,
  integrity: 6,
  checkFailed: 7,
  unavailable: 69,
  io: 74,
  permission: 77,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The facts an error message is built from; every one of them also reaches the JSON log. */
export interface ErrorFacts {
  /** What failed, as a clause: `cannot open data/processing`. */
  readonly what: string;
  /** Why: the server's or the operating system's own words. */
  readonly why?: string;
  /** What was done about it: `the batch was rolled back`. */
  readonly outcome?: string;
  /** What the user can do. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Root of all errors that have an explanation. Anything else that reaches the top is a bug (exit 1). */
export class EcompipeError extends Error {
  override readonly name: string = 'EcompipeError';

  constructor(
    readonly exitCode: ExitCode,
    readonly facts: ErrorFacts,
  ) {
    super(describe(facts), facts.cause === undefined ? undefined : { cause: facts.cause });
  }
}

/** The facts that reach the outside in machine-readable form, beside the message. */
export function reportedFacts({ exitCode, facts }: EcompipeError): {
  readonly exitCode: ExitCode;
  readonly what: string;
  readonly why: string | undefined;
  readonly outcome: string | undefined;
  readonly hint: string | undefined;
} {
  const { what, why, outcome, hint } = facts;
  return { exitCode, what, why, outcome, hint };
}

/** A wrong flag, variable or combination of them. Carries every problem found, not the first. */
export class UsageError extends EcompipeError {
  override readonly name = 'UsageError';

  constructor(
    readonly problems: readonly string[],
    hint?: string,
  ) {
    super(EXIT.usage, {
      what:
        problems.length === 1
          ? printableLine(problems[0] ?? '')
          : `${problems.length} problems:\n  - ${problems.map(printableLine).join('\n  - ')}`,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** Another live process owns the resource (exit 5). */
export class AlreadyRunningError extends EcompipeError {
  override readonly name = 'AlreadyRunningError';
  constructor(facts: ErrorFacts) {
    super(EXIT.owned, facts);
  }
}

/** Checkpoint, ledger and tables contradict each other (exit 6). */
export class IntegrityError extends EcompipeError {
  override readonly name = 'IntegrityError';
  constructor(facts: ErrorFacts) {
    super(EXIT.integrity, facts);
  }
}

/** A signal ended the waiting for something that did not come (exit 130). */
export class InterruptedError extends EcompipeError {
  override readonly name = 'InterruptedError';
  constructor(facts: ErrorFacts) {
    super(EXIT.interrupted, facts);
  }
}

/** A file or directory could not be used: 77 when permission is missing, else 74. */
export class FileError extends EcompipeError {
  override readonly name = 'FileError';
  constructor(
    readonly path: string,
    readonly errno: string | undefined,
    facts: ErrorFacts,
  ) {
    super(errno !== undefined && PERMISSION_ERRNOS.has(errno) ? EXIT.permission : EXIT.io, facts);
  }
}

const PERMISSION_ERRNOS = new Set(['EACCES', 'EPERM', 'EROFS']);

const ERRNO_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'create it, or name another one',
  ENOTDIR: 'name a directory',
  EACCES: 'give this user the right to use it, or name another one',
  EPERM: 'give this user the right to use it, or name another one',
  EROFS: 'the file system is mounted read-only: name another directory',
  ENOSPC: 'free some space; nothing was lost, start again afterwards',
  EDQUOT: 'the disk quota is used up: free some space, start again afterwards',
  EMFILE: 'raise the limit of open files (ulimit -n)',
};

/** The errno name (`ENOENT`, …) of a Node system error, if it is one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Turns a Node file-system error into a FileError that says what was being done, and passes anything else through. */
export function asFileError(error: unknown, what: string, path: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof EcompipeError || errno === undefined) return error;
  // What is to be read is nothing to create.
  const hint = errno === 'ENOENT' && what === 'read' ? 'name one that exists' : ERRNO_HINTS[errno];
  return new FileError(path, errno, {
    what: `cannot ${what} ${printableLine(path)}`,
    why: printableLine((error as Error).message),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

/** Runs a file-system action and throws its failure as a FileError. */
export async function withFileErrors<T>(what: string, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw asFileError(error, what, path);
  }
}

const REASONS_SHOWN = 3;

/** Why several things failed. On a full disk thousands fail for one reason: a few say it as well as all. */
export function firstReasons(failures: readonly { readonly error: EcompipeError }[]): string {
  const shown = failures.slice(0, REASONS_SHOWN).map(({ error }) => error.message);
  return [...shown, ...(failures.length > REASONS_SHOWN ? [`and ${failures.length - REASONS_SHOWN} more`] : [])].join(
    '\n  ',
  );
}

function describe({ what, why, outcome, hint }: ErrorFacts): string {
  const head = why === undefined ? what : `${what}: ${why}`;
  return [head, outcome, hint === undefined ? undefined : `hint: ${hint}`]
    .filter((part) => part !== undefined)
    .join('\n  ');
}
