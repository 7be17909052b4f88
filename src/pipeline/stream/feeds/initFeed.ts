import path from 'node:path';
import { UsageError, withFileErrors } from '../../../platform/errors.js';
import { readFeedText, SHIPPED_FEEDS } from '../../../contract/feeds/readFeeds.js';
import { openLarge, type Content } from '../content.js';
import { UnreadableFile } from '../../../contract/csv/header.js';
import { readStart } from './fields.js';
import { fittingShipped, shippedFeeds } from './shippedFeeds.js';
import { guessFormat, type Guess } from './guessFormat.js';
import { suggestColumns } from './suggestColumns.js';

export interface InitialFeed {
  readonly text: string;
  /** Name of the shipped feed that it is, if the source is known. */
  readonly shipped: string | undefined;
}

/**
 * Looks at the beginning of a file and makes a feed to start from: the shipped one where the source is known, else a skeleton.
 * @throws UsageError where it is empty or not text.
 */
export async function initFeed(file: string): Promise<InitialFeed> {
  const content = await withFileErrors('read', file, () => openLarge(file));
  try {
    return await feedFor(file, content);
  } catch (error) {
    throw error instanceof UnreadableFile ? new UsageError([`${file}: ${error.message}`]) : error;
  } finally {
    await content.close();
  }
}

async function feedFor(file: string, content: Content): Promise<InitialFeed> {
  if (content.fault !== undefined) throw content.fault;
  const start = await readStart(content);
  if (start.length === 0) throw new UnreadableFile('the file is empty: there is nothing to guess from');
  const guess = guessFormat(start, content.size <= start.length);
  const known = (await fittingShipped(start))[0]?.name ?? (await withoutHeader(guess));
  const match = path.basename(file);
  if (known === undefined) return { text: skeleton(match, guess), shipped: undefined };
  const { text } = await readFeedText(SHIPPED_FEEDS, known);
  return { text: forFile(text, match), shipped: known };
}

/** The shipped feed for files that have no header, by what their first record looks like. */
async function withoutHeader({ format, records }: Guess): Promise<string | undefined> {
  const [first] = records;
  if (format.type === 'jsonl')
    return /^\s*\{\s*"session"\s*:.*"events"\s*:/s.test(first?.[0] ?? '') ? 'otto' : undefined;
  if (format.header === 'fromFile' || first?.length !== 5) return undefined;
  const isTaobao = records.every(
    (fields) => /^(pv|cart|fav|buy)$/.test(fields[3] ?? '') && /^\d{9,10}$/.test(fields[4] ?? ''),
  );
  return isTaobao ? (await shippedFeeds()).find(({ name }) => name === 'taobao-user-behavior')?.name : undefined;
}

/** A shipped feed whose `match:` knows this file, too. */
function forFile(text: string, name: string): string {
  const [first = '', ...rest] = text.split('\n');
  const lines = rest.map((line) => {
    const list = /^match: \[(.*)\]$/.exec(line);
    return list === null ? line : `match: [${JSON.stringify(escapeGlob(name))}, ${list[1] ?? ''}]`;
  });
  return [first.replace('./feed.schema.json', 'feed.schema.json'), ...lines].join('\n');
}

/** A name as a pattern that is for it alone. */
function escapeGlob(name: string): string {
  return name.replace(/[\\*?[\]{}]/g, '\\$&');
}

function skeleton(name: string, { format, fields, records, notes }: Guess): string {
  const lines = [
    '# A feed to start from: what it guessed is to be checked (ecompipe feeds check), what it could not is marked TODO.',
    `match: ${JSON.stringify(escapeGlob(name))} # a pattern, such as orders-*.csv`,
  ];
  const settings = [
    ...(format.type === 'csv' ? [] : [`  type: ${format.type}`]),
    ...(format.delimiter === ',' || format.type !== 'csv' ? [] : [`  delimiter: ${JSON.stringify(format.delimiter)}`]),
    ...(format.quote === '"' || format.type !== 'csv' ? [] : ['  quote: none']),
    ...(format.header === 'fromFile' || format.type !== 'csv'
      ? []
      : [`  header: [${fields.join(', ')}] # TODO: name them`]),
    ...(format.encoding === 'utf-8' ? [] : [`  encoding: ${format.encoding}`]),
  ];
  if (settings.length > 0) lines.push('format:', ...settings);
  for (const note of notes) lines.push(`# ${note}`);
  lines.push('columns:', ...suggestColumns(fields, records, format.type));
  return `${lines.join('\n')}\n`;
}
