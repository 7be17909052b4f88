import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { removeAtExit } from './removeAtExit.js';

/** Below the ports that systems give to those who ask for any: connections and servers of others don't come upon one. */
const FIRST = 10_000;
const COUNT = 22_000;

/** A port that no other test gets as long as this process runs, also while what listened on it is restarted. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (claim(port) && (await isFree(port))) return port;
  }
}

function claim(port: number): boolean {
  const claimFile = path.join(os.tmpdir(), `ecompipe-test-port-${port}`);
  try {
    closeSync(openSync(claimFile, 'wx'));
  } catch {
    return false;
  }
  removeAtExit(claimFile);
  return true;
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  return await new Promise((resolve) => {
    probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
