import { stat } from 'node:fs/promises';

/** Where own feeds are when nobody says so. */
const DEFAULT_DIRECTORY = 'feeds';

/** The directory of own feeds, if there is one where it is looked for. */
export async function findFeedsDirectory(): Promise<string | undefined> {
  const stats = await stat(DEFAULT_DIRECTORY).catch(() => undefined);
  return stats?.isDirectory() === true ? DEFAULT_DIRECTORY : undefined;
}
