import { EcompipeError, EXIT } from '../errors.js';
import type { Connection } from './client.js';
import { queryRow, text } from './decodeRows.js';

/** @throws EcompipeError (2) for a database whose encoding can't hold every text of a UTF-8 file. */
export async function assertUtf8({ client }: Connection): Promise<void> {
  const row = await queryRow(client, { encoding: text }, `select current_setting('server_encoding') as encoding`);
  if (row.encoding === 'UTF8') return;
  throw new EcompipeError(EXIT.usage, {
    what: `the database's encoding is ${row.encoding}`,
    why: 'files are UTF-8, and this encoding cannot hold every character',
    outcome: 'nothing was changed',
    hint: "use a database made with: create database NAME encoding 'UTF8' template template0",
  });
}
