import { open } from 'node:fs/promises';
import { withFileErrors } from '../errors.js';

/** Looks at a file that a command was given, before it starts or makes anything for it. @throws FileError */
export async function assertReadable(file: string): Promise<void> {
  await withFileErrors('read', file, async () => {
    const handle = await open(file, 'r');
    await handle.close();
  });
}
