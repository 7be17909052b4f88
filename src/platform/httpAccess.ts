import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { UsageError } from './errors.js';

/** How a client proves that it may read: `Authorization: Bearer …` (RFC 6750), or Basic with any user name (RFC 7617), which browsers ask for. */
export type AuthScheme = 'Bearer' | 'Basic';

export interface AccessSettings {
  /** Address that the server listens on. */
  readonly host: string;
  readonly scheme: AuthScheme;
  /** For the browser's question. */
  readonly realm: string;
  /** Undefined: whoever reaches the address may read; only on loopback. */
  readonly secret: string | undefined;
}

/** Why a request is refused. */
export interface Refusal {
  readonly status: 401 | 421;
  readonly headers: Readonly<Record<string, string>>;
  readonly message: string;
}

/**
 * Refuses who may not read. With a secret that is whoever does not send it. Without one, requests under a name that is not
 * ours: another site's page can make a browser resolve its own name to our address (DNS rebinding), but its requests still
 * carry that name. A browser has no secret of ours to send for another site, so with a secret any name will do.
 */
export function createAccessCheck(settings: AccessSettings): (request: IncomingMessage) => Refusal | undefined {
  const { host, scheme, realm, secret } = settings;
  const expected = secret === undefined ? undefined : digest(Buffer.from(secret));
  return ({ headers }) => {
    if (expected !== undefined) {
      const given = credentials(headers.authorization, scheme);
      if (given !== undefined && timingSafeEqual(digest(given), expected)) return undefined;
      const challenge = `${scheme} realm="${realm}"${scheme === 'Basic' ? ', charset="UTF-8"' : ''}`;
      const message = `this needs ${scheme === 'Basic' ? 'the password' : 'the token'}`;
      return { status: 401, headers: { 'www-authenticate': challenge }, message };
    }
    if (isOurName(headers.host, host)) return undefined;
    const message = `this is the ${realm}, not ${JSON.stringify(headers.host ?? '')}`;
    return { status: 421, headers: {}, message };
  };
}

export function refuse(response: ServerResponse, { status, headers, message }: Refusal): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers }).end(`${message}\n`);
}

/**
 * What is served to other machines must ask for a secret.
 * @param names the settings, for the message: of the address, and those that give a secret.
 * @throws UsageError when it would not.
 */
export function assertProtected(
  host: string,
  secret: string | undefined,
  names: { readonly host: string; readonly secret: string; readonly file: string },
): void {
  if (secret !== undefined || isLoopback(host)) return;
  throw new UsageError(
    [`${names.host} ${host}: other machines could read what is served there, without any authentication`],
    `set ${names.secret} or ${names.file}, or listen on 127.0.0.1`,
  );
}

export function isLoopback(host: string): boolean {
  const address = host.replace(/^::ffff:/i, '');
  return address.toLowerCase() === 'localhost' || address === '::1' || (isIP(address) === 4 && /^127\./.test(address));
}

/** What was sent as secret, in bytes: Node decodes headers as Latin-1. */
function credentials(header: string | undefined, scheme: AuthScheme): Buffer | undefined {
  const [, given, value = ''] = /^(\S+) +(.*)$/.exec(header ?? '') ?? [];
  if (given?.toLowerCase() !== scheme.toLowerCase()) return undefined;
  if (scheme === 'Bearer') return Buffer.from(value, 'latin1');
  const pair = Buffer.from(value, 'base64');
  const colon = pair.indexOf(':');
  return colon === -1 ? undefined : pair.subarray(colon + 1);
}

/** Of one length whatever was sent: comparing them tells nothing, not even how long the secret is. */
function digest(secret: Buffer): Buffer {
  return createHash('sha256').update(secret).digest();
}

function isOurName(header: string | undefined, host: string): boolean {
  const name = header
    ?.replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  if (name === undefined) return false;
  // Addresses are nobody's name.
  return isIP(name) !== 0 || ['localhost', host.toLowerCase(), hostname().toLowerCase()].includes(name);
}
