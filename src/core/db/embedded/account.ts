import { readFile } from 'node:fs/promises';

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
