import { IntegrityError } from '../../platform/errors.js';
import type { Connection } from '../../platform/db/client.js';
import { countOf } from '../../platform/format.js';
import { BEFORE_TOKENS, type WitnessedBatch } from './witness.js';
import { sqlStateOf } from '../../platform/db/sqlState.js';
import type { StreamSettings } from './streamEvents.js';
import { printableLine } from '../../platform/printable.js';

/** Where the files are that were loaded or refused, and so may be again. */
export type LossPlaces = Pick<StreamSettings, 'afterLoad' | 'archiveDir' | 'quarantineDir'>;

const FILES_SHOWN = 3;

/** Makes the error that says what a database has lost: which commits, since when, and what brings them back. */
export function createLossExplainer(
  places: LossPlaces,
): (connection: Connection, missing: readonly WitnessedBatch[], behind?: readonly string[]) => Promise<IntegrityError> {
  return async (connection, missing, behind = []) => {
    const lastCommit = await readLastCommitIfAny(connection);
    const seen = missing
      .map(({ batchId, seenAt }) => `batch ${batchId}${Date.parse(seenAt) === 0 ? '' : ` (seen ${seenAt})`}`)
      .slice(0, FILES_SHOWN);
    const more = missing.length > FILES_SHOWN ? ` and ${missing.length - FILES_SHOWN} more` : '';
    const what =
      missing.length > 0
        ? `${seen.join(', ')}${more}`
        : `parts of ${behind.slice(0, FILES_SHOWN).join(', ')}${behind.length > FILES_SHOWN ? ` and ${behind.length - FILES_SHOWN} more` : ''}`;
    return new IntegrityError({
      what: 'the database has lost commits: the checkpoint is ahead of the ledger',
      why: `this stream saw ${what} committed, and the ledger does not have that; ${describeNewest('it', lastCommit)}. Most likely the database was restored from a backup, or a standby took over that had not received everything`,
      outcome: 'nothing more was loaded',
      hint: await describeRemedy(places, lastCommit),
    });
  };
}

/** The error of a checkpoint that was written for another database. */
export async function explainOtherDatabase(
  connection: Connection,
  file: string,
  places: LossPlaces,
): Promise<IntegrityError> {
  const lastCommit = await readLastCommitIfAny(connection);
  return new IntegrityError({
    what: `the checkpoint ${file} is from another database`,
    why: describeNewest('this one', lastCommit),
    outcome: 'nothing was loaded',
    hint: `connect to the database it belongs to. If this one takes its place, such as a dump that was restored: ${await describeRemedy(places, lastCommit)}`,
  });
}

async function readLastCommitIfAny(connection: Connection): Promise<Date | null> {
  const { readLastCommit } = await import('./reloadFromArchive.js');
  try {
    return await readLastCommit(connection);
  } catch (error) {
    if (BEFORE_TOKENS.has(sqlStateOf(error))) return null;
    throw error;
  }
}

function describeNewest(subject: string, lastCommit: Date | null): string {
  return lastCommit === null
    ? `${subject} has no batches`
    : `the newest batch that ${subject} has is of ${lastCommit.toISOString()}`;
}

async function describeRemedy(places: LossPlaces, lastCommit: Date | null): Promise<string> {
  const { afterLoad, archiveDir, quarantineDir } = places;
  const { findArchivedSince, findQuarantinedSince } = await import('./reloadFromArchive.js');
  const command = '`ecompipe stream --reload-from-archive`';
  const refused = describeFiles(await findQuarantinedSince(quarantineDir, lastCommit).catch(() => []), 'quarantined');
  const judgedAgain = refused === '' ? '' : `, and judges files of ${quarantineDir} that it does not know${refused}`;
  if (afterLoad !== 'archive')
    return `loaded files are ${afterLoad === 'keep' ? 'still in the input directory' : 'deleted (--after-load delete), so get them from their producer again'}; ${command} then starts with what the ledger has${judgedAgain}`;
  const archived = describeFiles(await findArchivedSince(archiveDir, lastCommit).catch(() => []), 'archived');
  return `${command} loads what is missing from ${archiveDir}${archived}${judgedAgain}; what the table has is not loaded twice`;
}

/** ` (2 files archived since or up to a day before: …)`; nothing where there are none. */
function describeFiles(files: readonly { readonly path: string }[], what: string): string {
  if (files.length === 0) return '';
  const names = files.slice(0, FILES_SHOWN).map(({ path }) => printableLine(path));
  return ` (${countOf(files.length, 'file')} ${what} since or up to a day before: ${names.join(', ')}${files.length > FILES_SHOWN ? ', …' : ''})`;
}
