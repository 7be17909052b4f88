import { UsageError } from './errors.js';

/** Moments of the generator. */
export const GENERATE_FAILPOINTS = {
  'file-sealed': 'a file is written whole under its hidden name, the manifest has not heard of it',
  'before-publish': 'the manifest has the file, nobody can see it',
  'after-publish': 'the file can be seen',
} as const;

/** Moments of the mover; those between are passed by a loaded file on its way to the archive too. */
export const MOVE_FAILPOINTS = {
  'before-move': 'a finished file was found, nothing is changed',
  'move-copying': 'on another file system: a part of the copy is written under a hidden name',
  'move-copied': 'on another file system: the copy is on disk under its hidden name',
  'move-linked': 'the file, or its copy, has its new name and still the one before',
  'move-published': 'on another file system: the copy has its name, the source is still there',
  'after-move': 'the file is moved',
} as const;

/** Moments of the loader. */
export const STREAM_FAILPOINTS = {
  'file-opened': 'a file is open, nothing of it is read',
  'file-hashed': 'its SHA-256 is known, the database has not heard of it',
  'batch-begun': 'the transaction of a batch is open',
  copying: 'some of the batch is on its way to COPY',
  copied: 'COPY, or the stage, is through',
  'ledger-written': 'rows and ledger are written, COMMIT is not sent',
  'commit-sent': 'COMMIT is sent, its reply is not here',
  committed: 'the reply to COMMIT is here',
  'checkpoint-written': 'the temporary file of the checkpoint is on disk',
  'checkpoint-renamed': 'the checkpoint has its name',
  'before-archive': 'a file is loaded and still in its place',
  'after-archive': 'a file is disposed of',
} as const;

/** Moments at which a crash test can end the process, in the order a file meets them; and what each comes before or after. */
export const FAILPOINTS = { ...GENERATE_FAILPOINTS, ...MOVE_FAILPOINTS, ...STREAM_FAILPOINTS } as const;

export type FailpointName = keyof typeof FAILPOINTS;

const ACTIONS = ['kill', 'stop', 'error', 'bug'] as const;

interface Armed {
  readonly name: string;
  readonly action: (typeof ACTIONS)[number];
  /** Passes left until it acts. */
  left: number;
}

const configured = process.env['ECOMPIPE_FAILPOINT'];
let armed: Armed | undefined;

/**
 * A place where tests can make this process fail. With `ECOMPIPE_FAILPOINT=name:N=kill` it gets SIGKILL at its N-th pass,
 * with `stop` SIGSTOP, with `error` an I/O error is thrown, with `bug` an error of no kind. Without the variable it does nothing.
 * @throws UsageError when the variable means nothing.
 */
export function failpoint(name: FailpointName): void {
  if (configured === undefined || configured === '') return;
  armed ??= parse(configured);
  if (name !== armed.name || --armed.left !== 0) return;
  if (armed.action === 'error') throw Object.assign(new Error(`fail-point ${name}`), { code: 'EIO' });
  if (armed.action === 'bug') throw new Error(`fail-point ${name}`);
  process.kill(process.pid, armed.action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
}

function parse(raw: string): Armed {
  const [, name = '', count = '1', word] = /^([a-z-]+)(?::(\d+))?=(\w+)$/.exec(raw) ?? [];
  const action = ACTIONS.find((candidate) => candidate === word);
  if (action === undefined || !(name in FAILPOINTS))
    throw new UsageError(
      [`ECOMPIPE_FAILPOINT ${JSON.stringify(raw)}: expected name:N=kill, stop, error or bug`],
      '`ecompipe failpoints` lists the names',
    );
  return { name, action, left: Number(count) };
}
