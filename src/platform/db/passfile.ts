import { readFileSync, statSync } from 'node:fs';
import { asFileError, UsageError } from '../errors.js';

/** What a line of a password file is looked up by. */
interface PassfileKey {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/**
 * The password of the first line of a password file that fits (PostgreSQL manual, 34.16): five fields with colons between
 * them, `*` for anything, a backslash before a colon or backslash that is meant as such.
 * @throws UsageError when others may read or change it: libpq would ignore it, and the server's refusal would not say why.
 * @throws FileError when it can't be read: who names a file means it.
 */
export function readPassfile(file: string, key: PassfileKey): string | undefined {
  let text: string;
  try {
    if ((statSync(file).mode & 0o077) !== 0)
      throw new UsageError([`the password file ${file} can be read or changed by others`], 'fix it with chmod 600');
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw asFileError(error, 'read the password file', file);
  }
  const wanted = [key.host, String(key.port), key.database, key.user];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue;
    const fields = splitFields(line);
    if (
      fields.length === 5 &&
      wanted.every((value, index) => fields[index] === '*' || unescape(fields[index]) === value)
    )
      return unescape(fields[4]);
  }
  return undefined;
}

/** At colons that no backslash stands before. */
function splitFields(line: string): string[] {
  return line.match(/(?:^|:)(?:\\.|[^:\\])*/g)?.map((field, index) => (index === 0 ? field : field.slice(1))) ?? [];
}

function unescape(field = ''): string {
  return field.replaceAll(/\\(.)/g, '$1');
}
