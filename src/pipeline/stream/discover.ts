import { constants, existsSync, readdirSync, type Stats } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import path from 'node:path';
import type { LeftAloneReason } from '../../contract/leftAlone.js';
import { listFiles, type ListOptions } from '../../contract/listFiles.js';
import { errnoOf, FileError, withFileErrors } from '../../platform/errors.js';
import { printableLine } from '../../platform/printable.js';
import type { StreamEvent } from './streamEvents.js';

/** Files of which names are held: 50,000 take about 10 MB, and a directory of a million is read twenty times. */
const PAGE_FILES = 50_000;

/** A directory that had fewer does not have a million at the next look. */
const FEW_ENTRIES = 1000;

/** A listing that takes no longer is made for every change. */
const SHORT_LISTING_MS = 1;
/** So many times as long as a longer one took, the next one waits. */
const RESTS_PER_LISTING = 4;

/** Lists the files of a directory that can be loaded, in pages, and reports once what else is there. */
export class InputListing {
  private reported = new Map<string, LeftAloneReason>();
  private latest: readonly string[] = [];
  /** The last file of the page before; empty when that was the last page. */
  private after = '';
  /** Entries that the listing before has found. */
  private entries = Infinity;
  /** How long it took, in milliseconds. */
  private tookMs = 0;

  constructor(
    private readonly directory: string,
    private readonly options: ListOptions,
    private readonly emit: (event: StreamEvent) => void,
    private readonly pageFiles = PAGE_FILES,
  ) {}

  /** Those that were looked into last. */
  get subdirectories(): readonly string[] {
    return this.latest;
  }

  /**
   * How long the next listing is to wait, in milliseconds. Every change wakes whoever lists, those of their own as well:
   * without the rest, listing a directory that was full of files took a tenth of the time that loading them did. A file that
   * comes into a small one is listed at once.
   */
  get restMs(): number {
    return this.tookMs < SHORT_LISTING_MS ? 0 : RESTS_PER_LISTING * this.tookMs;
  }

  /**
   * The next page. Pages follow each other to the last file, so that files that come meanwhile keep none waiting.
   * @param isWanted called for each file that is there; the page holds those that are wanted.
   * @returns names, sorted. Links, FIFOs, directories and hidden names are none. @throws FileError.
   */
  async next(isWanted: (name: string) => boolean): Promise<InputPage> {
    const { directory, after } = this;
    const isSmall = this.entries < FEW_ENTRIES;
    const startedMs = performance.now();
    const { files, hasMore, entries, leftAlone, subdirectories } = await withFileErrors('list', directory, () =>
      listFiles(directory, this.options, { after, size: this.pageFiles, isSmall, isWanted }),
    ).finally(() => (this.tookMs = performance.now() - startedMs));
    this.entries = entries;
    this.after = hasMore ? (files.at(-1) ?? '') : '';
    this.latest = subdirectories;
    for (const { name, reason } of leftAlone)
      if (this.reported.get(name) !== reason) this.emit({ type: 'fileSkipped', name, reason });
    // What is gone is forgotten: it is reported again when it comes back.
    this.reported = new Map(leftAlone.map(({ name, reason }) => [name, reason]));
    return { names: files, isAll: after === '' && !hasMore };
  }
}

export interface InputPage {
  readonly names: readonly string[];
  /** Whether no other file is wanted. */
  readonly isAll: boolean;
}

/**
 * Why a file that is listed is not found: its name is not UTF-8, so what we call it by is not its name. Whatever else is
 * done about it, it would be listed again at once, for ever.
 */
export function nameError(inputDir: string, pathname: string): FileError | undefined {
  if (!pathname.includes('\uFFFD')) return undefined;
  const name = path.basename(pathname);
  const directory = path.join(inputDir, path.dirname(pathname));
  const bytes = readdirSync(directory, { encoding: 'buffer' }).find(
    (entry) => entry.toString() === name && !entry.equals(Buffer.from(name)),
  );
  if (bytes === undefined) return undefined;
  const file = path.join(directory, escapeBytes(bytes));
  return new FileError(file, 'EILSEQ', {
    what: `cannot load ${printableLine(file)}`,
    why: 'its name is not valid UTF-8',
    outcome: 'it was left in place',
    hint: 'rename it, for example with convmv(1)',
  });
}

/** A name in another encoding, with its bytes above ASCII as `\xe9`. */
function escapeBytes(name: Buffer): string {
  return [...name].map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`)).join('');
}

/** An absolute path of which not even the parent exists comes from another machine, most likely from a container's .env. */
async function statOrExplain(directory: string): Promise<Stats> {
  try {
    return await stat(directory);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || !path.isAbsolute(directory) || existsSync(path.dirname(directory))) throw error;
    throw new FileError(directory, 'ENOENT', {
      what: `cannot use the directory ${directory}`,
      why: `there is no ${path.dirname(directory)} on this machine`,
      hint: 'if PROCESSING_PATH in .env is a path inside containers, name one of this machine: --input-dir data/processing',
      cause: error,
    });
  }
}

/** @throws FileError when the directory can't be read (or written, if files leave it). */
export async function assertUsable(directory: string, mustWrite: boolean): Promise<void> {
  await withFileErrors('use the directory', directory, async () => {
    if (!(await statOrExplain(directory)).isDirectory())
      throw new FileError(directory, 'ENOTDIR', {
        what: `cannot load from ${directory}`,
        why: 'it is not a directory',
        hint: 'name a directory',
      });
    await access(directory, constants.R_OK | constants.X_OK | (mustWrite ? constants.W_OK : 0));
  });
}
