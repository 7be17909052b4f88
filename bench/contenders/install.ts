import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { venvOf } from './dlt.js';
import { runProgram, findProgram } from './program.js';

const GO_MODULE = 'github.com/timescale/timescaledb-parallel-copy/cmd/timescaledb-parallel-copy@latest';

/** Puts the rivals below the cache directory, without touching the system: a Debian package unpacked, a Go module built, a Python package in a venv. */
export async function installRivals(cacheDir: string): Promise<void> {
  const rivals = path.join(cacheDir, 'rivals');
  const packages = path.join(rivals, 'packages');
  mkdirSync(packages, { recursive: true });
  await attempt('pgloader', async () => {
    const here = { TMPDIR: packages };
    for (const name of ['pgloader', 'freetds-common', 'libsybdb5'])
      await runProgram('/bin/sh', ['-c', `cd "$1" && apt-get download "$2"`, 'sh', packages, name], here);
    for (const file of readdirSync(packages).filter((name) => name.endsWith('.deb')))
      await runProgram('dpkg', ['-x', path.join(packages, file), rivals], {});
  });
  await attempt('dlt', async () => {
    const venv = venvOf(cacheDir);
    await runProgram('python3', ['-m', 'venv', venv], {});
    await runProgram(path.join(venv, 'bin/pip'), ['install', '--quiet', 'dlt[postgres]', 'pyarrow'], process.env);
  });
  await attempt('timescaledb-parallel-copy', async () => {
    const go = findProgram('go', '/usr/local/go/bin');
    if (go === undefined) throw new Error('go is not installed');
    await runProgram(go, ['install', GO_MODULE], {
      ...process.env,
      GOBIN: path.join(rivals, 'bin'),
      GOPATH: path.join(rivals, 'go'),
      GOFLAGS: '-modcacherw',
    });
  });
}

async function attempt(name: string, install: () => Promise<void>): Promise<void> {
  console.error(`installing ${name} …`);
  await install().catch((error: unknown) =>
    console.error(`${name} can't be installed: ${error instanceof Error ? error.message : String(error)}`),
  );
}
