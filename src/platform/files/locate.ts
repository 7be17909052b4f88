import { createHash } from 'node:crypto';
import { createReadStream, lstatSync } from 'node:fs';
import path from 'node:path';
import { dayFolders } from './dayFolders.js';
import { numberedName } from './publish.js';

/** A stage that finds a name taken puts a number into it. */
const MAX_NUMBERED = 16;

/** What a file is known by: its content for sure, its size where a look must be cheap. */
export type Recognized = { readonly sha256: Buffer } | { readonly bytes: number };

/** Looks for a file under its name, or its name with a number, in directories that may be missing and their folders of days. */
export async function locate(
  name: string,
  recognized: Recognized,
  directories: readonly string[],
): Promise<string | undefined> {
  for (const directory of directories.flatMap((each) => [each, ...dayFolders(each)])) {
    for (let number = 0; number <= MAX_NUMBERED; number++) {
      const candidate = path.join(directory, number === 0 ? name : numberedName(name, number));
      const stats = lstatSync(candidate, { throwIfNoEntry: false });
      // The names before may have been taken away since.
      if (stats?.isFile() !== true) continue;
      if (
        'bytes' in recognized
          ? stats.size === recognized.bytes
          : (await hashOf(candidate))?.equals(recognized.sha256) === true
      )
        return candidate;
    }
  }
  return undefined;
}

async function hashOf(file: string): Promise<Buffer | undefined> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    return hash.digest();
  } catch {
    // Taken away, or not for us to read: not found here.
    return undefined;
  }
}
