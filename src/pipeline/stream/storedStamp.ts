import { hash } from 'node:crypto';

const HASH_BITS = 20n;
const HASH_HEX_DIGITS = 5;

/** Device, inode, size and time. */
const LOCAL_TIME = /^\d+:\d+:\d+:(\d{7,19})$/;
/** The time is the last there, too; in nanoseconds, which an older version did not write. */
const REMOTE_TIME = /:(\d{16,19})$/;

/**
 * What the ledger keeps of a file's stamp, in the eight bytes of a bigint: its modification time in milliseconds, for the
 * latencies of `status`, and 20 bits of a hash of all of it. Migration 013 does the same in SQL with the stamps of local files.
 */
export function storedStamp(fileStamp: string): string {
  if (fileStamp === '') return '0';
  const nanoseconds = (LOCAL_TIME.exec(fileStamp) ?? REMOTE_TIME.exec(fileStamp))?.[1] ?? '0';
  const digits = hash('sha256', fileStamp, 'hex').slice(0, HASH_HEX_DIGITS);
  return String(((BigInt(nanoseconds) / 1_000_000n) << HASH_BITS) + BigInt(`0x${digits}`));
}
