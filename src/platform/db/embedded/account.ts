import { readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';

/** The operating-system account a server runs under. `undefined` where it means: our own. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
}

/** What nearly every system calls `nobody`; used when /etc/passwd names neither `postgres` nor `nobody`. */
const NOBODY: ServerAccount = { uid: 65534, gid: 65534, name: 'nobody' };

/**
 * Says which account must run the server: our own (undefined), unless we are root. PostgreSQL refuses to run as uid 0, so
 * root lends it `postgres` if there is such an account, else `nobody`.
 */
export async function serverAccount(): Promise<ServerAccount | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = parsePasswd(await readFile('/etc/passwd', 'utf8').catch(() => ''));
  return accounts.get('postgres') ?? accounts.get('nobody') ?? NOBODY;
}

/** The accounts of a passwd(5) file that aren't root under another name. */
export function parsePasswd(passwd: string): Map<string, ServerAccount> {
  const accounts = new Map<string, ServerAccount>();
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === undefined || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '') || Number(uid) === 0) continue;
    accounts.set(name, { name, uid: Number(uid), gid: Number(gid) });
  }
  return accounts;
}

/** The part of spawn's options that makes a child run under the account. */
export function asAccount(account: ServerAccount | undefined): { uid?: number; gid?: number } {
  return account === undefined ? {} : { uid: account.uid, gid: account.gid };
}

/**
 * Whether the account may pass through every directory on the way to `target`. Only root asks this, about an account that
 * isn't its own: /root and mktemp's directories are closed to it. Undefined accounts are our own and always may.
 */
export async function canReach(target: string, account: ServerAccount | undefined): Promise<boolean> {
  if (account === undefined) return true;
  for (let directory = await realpath(target); ; directory = path.dirname(directory)) {
    const { uid, gid, mode } = await stat(directory);
    const search = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & search) === 0) return false;
    if (directory === path.dirname(directory)) return true;
  }
}
