import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { errnoOf, UsageError } from './errors.js';

export type EnvFile = Readonly<Record<string, string | undefined>>;

/**
 * Reads an env file, once: it may be a pipe. One that was asked for must exist; the default one may be missing.
 * @param asked undefined for the default, `.env`
 * @throws UsageError for what can't be read or isn't text: going on without it would mean another database.
 */
export async function readEnvFile(asked: string | undefined, stop: AbortSignal): Promise<EnvFile> {
  const file = asked ?? '.env';
  let bytes: Buffer;
  try {
    bytes = statSync(file).isFile() ? readFileSync(file) : await readPipe(file, stop);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && asked === undefined) return {};
    throw cannotRead(file, error instanceof Error ? error.message : String(error));
  }
  return parseEnv(decode(file, bytes));
}

/**
 * A pipe is read by `cat`: opening a FIFO that nobody writes to blocks, and a blocked thread of ours would neither hear a
 * signal nor let the process end.
 */
async function readPipe(file: string, stop: AbortSignal): Promise<Buffer> {
  if (statSync(file).isDirectory()) throw new Error('it is a directory');
  if (wasReadByNode())
    throw new Error(
      'Node 20 itself has already read this pipe; start the executable `ecompipe` instead of `node …/ecompipe.js`',
    );
  const descriptor = file === '/dev/stdin' ? '0' : /^\/(?:dev|proc\/self)\/fd\/(\d+)$/.exec(file)?.[1];
  const inherited = descriptor === undefined ? 'ignore' : Number(descriptor);
  const cat = spawn('cat', descriptor === undefined ? ['--', file] : [], {
    stdio: [inherited, 'pipe', 'pipe'],
    signal: stop,
  });
  const chunks: Buffer[] = [];
  const complaints: Buffer[] = [];
  cat.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  cat.stderr?.on('data', (chunk: Buffer) => complaints.push(chunk));
  const [exitCode] = (await once(cat, 'close')) as [number | null];
  if (exitCode !== 0) throw new Error(Buffer.concat(complaints).toString('utf8').trim());
  return Buffer.concat(chunks);
}

/**
 * Node 20 takes `--env-file` for its own wherever it stands, unless `--` comes before the script. `bin/ecompipe.js` sees
 * to that when it is started as an executable, and then with this option (see there).
 */
function wasReadByNode(): boolean {
  return (
    process.versions.node.startsWith('20.') &&
    !process.execArgv.includes('--no-deprecation') &&
    process.argv.some((argument) => /^--env-file(=|$)/.test(argument))
  );
}

/** Editors and shells of Windows write a byte order mark, and UTF-16; anything else must be UTF-8. */
function decode(file: string, bytes: Buffer): string {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8';
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw cannotRead(file, `it is not valid ${encoding.toUpperCase()}`);
  }
  if (text.includes('\0')) throw cannotRead(file, 'it contains NUL bytes: save it as UTF-8');
  return text;
}

function cannotRead(file: string, why: string): UsageError {
  return new UsageError([`cannot read the env file ${file}: ${why}`]);
}
