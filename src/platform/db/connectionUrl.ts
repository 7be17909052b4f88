import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { errnoOf, UsageError } from '../errors.js';

export type ConnectionParameters = ReadonlyMap<string, string>;

const NOT_A_URL = 'DATABASE_URL: not a valid URL (special characters in the password must be percent-encoded)';

/**
 * The parameters of a URL as libpq reads it (PostgreSQL manual, 34.1.1.2): any part may be missing, and the query may
 * name every parameter.
 * @throws UsageError that never shows the URL: it may hold a password.
 */
export function parseConnectionUrl(url: string): ConnectionParameters {
  const scheme = /^postgres(?:ql)?:\/\//.exec(url)?.[0];
  if (scheme === undefined)
    throw new UsageError(['DATABASE_URL: expected postgresql://user:password@host:port/database']);
  const parts = /^(?:([^:@/?]*)(?::([^@/?]*))?@)?([^/?@]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(url.slice(scheme.length));
  if (parts === null || /[\s#]/.test(url)) throw new UsageError([NOT_A_URL]);
  const [, user, password, address = '', dbname, query = ''] = parts;
  if (address.includes(',')) throw new UsageError([severalHosts('DATABASE_URL')]);
  const [, host, port] = /^(\[[\da-f:.%]+\]|[^:[\]]*)(?::(\d*))?$/i.exec(address) ?? [];
  if (host === undefined) throw new UsageError([NOT_A_URL]);
  const parameters = new Map<string, string>();
  const set = (keyword: string, text: string | undefined): void => {
    if (text) parameters.set(keyword, decode(text));
  };
  set('user', user);
  set('password', password);
  set('host', host.replace(/^\[(.*)\]$/, '$1'));
  set('port', port);
  set('dbname', dbname);
  for (const pair of query.split('&').filter((text) => text !== '')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new UsageError(['DATABASE_URL: expected name=value pairs joined by & after the ?']);
    const [keyword, value] = [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))];
    // As libpq: for the sake of URLs that were written for JDBC.
    if (keyword === 'ssl' && value === 'true') parameters.set('sslmode', 'require');
    else parameters.set(keyword, value);
  }
  return parameters;
}

export function severalHosts(name: string): string {
  return `${name}: several hosts are not supported: name the primary`;
}

function decode(text: string): string {
  try {
    const decoded = decodeURIComponent(text);
    if (!decoded.includes('\0')) return decoded;
  } catch {
    // Told below, without the text.
  }
  throw new UsageError([NOT_A_URL]);
}

/**
 * The parameters of a service (PostgreSQL manual, 34.17), from the user's file, else from the system's.
 * @throws UsageError when no file has it.
 */
export function readService(
  name: string,
  file: string | undefined,
  environment: NodeJS.ProcessEnv,
): ConnectionParameters {
  const users = file ?? path.join(environment['HOME'] ?? homedir(), '.pg_service.conf');
  const systems = environment['PGSYSCONFDIR'];
  const files = systems === undefined ? [users] : [users, path.join(systems, 'pg_service.conf')];
  for (const candidate of files) {
    const found = findService(candidate, name);
    if (found !== undefined) return found;
  }
  throw new UsageError([`service ${JSON.stringify(name)}: not found in ${files.join(', ')}`]);
}

function findService(file: string, name: string): ConnectionParameters | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw new UsageError([`cannot read the service file ${file}: ${error instanceof Error ? error.message : ''}`]);
  }
  let found: Map<string, string> | undefined;
  for (const line of text.split(/\r?\n/).map((raw) => raw.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (found !== undefined) break;
      if (line === `[${name}]`) found = new Map();
      continue;
    }
    const equals = line.indexOf('=');
    if (found === undefined) continue;
    if (equals < 1) throw new UsageError([`service file ${file}: expected name=value in [${name}]`]);
    found.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  return found;
}
