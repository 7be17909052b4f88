import assert from 'node:assert/strict';
import { chownSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { openConnection } from '../../src/platform/db/client.js';
import { resolveConnection, type RawDatabaseSettings } from '../../src/platform/db/connectionSettings.js';
import { temporaryDirectory } from '../platform/files/directories.js';
import { run, type Ended } from '../helpers/executable.js';
import { startTestServer, type TestDatabase } from '../helpers/postgres.js';
import { until } from '../helpers/until.js';
import { createAuthority } from './certificates.js';

const authority = createAuthority('the authority of the server');
const stranger = createAuthority('another authority');
let database: TestDatabase;

/** Turns TLS on in the server of this process, with a certificate for `localhost`. */
before(async () => {
  const server = await startTestServer();
  database = await server.createDatabase();
  const { certificate, key } = authority.issue('localhost');
  const { uid, gid } = statSync(server.dataDirectory);
  for (const [name, text] of [
    ['server.crt', certificate],
    ['server.key', key],
  ] as const) {
    const file = path.join(server.dataDirectory, name);
    writeFileSync(file, text, { mode: 0o600 });
    chownSync(file, uid, gid);
  }
  await database.query('alter system set ssl = on');
  await database.query('select pg_reload_conf()');
  await until(
    'the server speaks TLS',
    async () => (await database.query<{ ssl: string }>('show ssl'))[0]?.ssl === 'on',
  );
});

function certificates(t: TestContext): Record<'right' | 'wrong' | 'none' | 'both', string> {
  const directory = temporaryDirectory(t);
  const write = (name: string, text: string): string => {
    const file = path.join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  return {
    right: write('right.pem', authority.certificate),
    wrong: write('wrong.pem', stranger.certificate),
    both: write('both.pem', stranger.certificate + authority.certificate),
    none: '',
  };
}

async function migrate(t: TestContext, env: Record<string, string>): Promise<Ended> {
  return await run(
    t,
    { cwd: temporaryDirectory(t), env: { ...database.env, ...env } },
    'migrate',
    '--status',
    '--retry-for',
    '0',
  );
}

for (const [mode, host, root, outcome] of [
  ['disable', '127.0.0.1', 'none', 'plain'],
  ['allow', '127.0.0.1', 'none', 'plain'],
  ['prefer', '127.0.0.1', 'none', 'encrypted'],
  ['require', '127.0.0.1', 'none', 'encrypted'],
  ['verify-ca', '127.0.0.1', 'right', 'encrypted'],
  ['verify-ca', 'localhost', 'right', 'encrypted'],
  ['verify-full', 'localhost', 'right', 'encrypted'],
  ['verify-ca', '127.0.0.1', 'wrong', 'authority'],
  ['verify-full', 'localhost', 'wrong', 'authority'],
  ['verify-ca', '127.0.0.1', 'none', 'authority'],
  ['verify-full', '127.0.0.1', 'right', 'name'],
  ['verify-full', 'localhost', 'both', 'encrypted'],
] as const) {
  test(`sslmode ${mode} to ${host} with ${root === 'none' ? 'no root certificate' : `the ${root} root certificate`}: ${outcome === 'authority' ? 'refused, as nobody trusted signed it' : outcome === 'name' ? 'refused, as it is for another name' : outcome}`, async (t) => {
    const rootCertificate = certificates(t)[root];
    const env = {
      POSTGRES_HOST: host,
      POSTGRES_SSLMODE: mode,
      ...(rootCertificate === '' ? {} : { POSTGRES_SSLROOTCERT: rootCertificate }),
    };
    const { exitCode, stderr } = await migrate(t, env);
    if (outcome === 'plain' || outcome === 'encrypted') {
      assert.equal(exitCode, 0, stderr);
      const raw: RawDatabaseSettings = {
        databaseUrl: undefined,
        host,
        port: database.port,
        database: database.database,
        user: database.user,
        password: database.password,
        sslMode: mode,
        sslRootCert: rootCertificate || undefined,
      };
      const settings = resolveConnection(raw, {});
      assert.ok(settings);
      const connection = await openConnection(settings);
      t.after(() => connection.close());
      assert.deepEqual(
        (await connection.client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).rows,
        [{ ssl: outcome === 'encrypted' }],
      );
      return;
    }
    assert.equal(exitCode, 2, stderr);
    assert.match(
      stderr,
      outcome === 'name'
        ? /does not match certificate's altnames|IP: 127\.0\.0\.1 is not in the cert's list/
        : /unable to (verify|get)|self-signed/,
    );
    assert.match(
      stderr,
      /hint: name the authority that signed it in POSTGRES_SSLROOTCERT, and the host as its certificate does/,
    );
  });
}

for (const [what, env] of [
  ['PGSSLMODE and PGSSLROOTCERT', (root: string) => ({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: root })],
  [
    'DATABASE_URL',
    (root: string) => ({
      DATABASE_URL: `postgresql://${database.user}:${encodeURIComponent(database.password)}@localhost:${database.port}/${database.database}?sslmode=verify-full&sslrootcert=${encodeURIComponent(root)}`,
    }),
  ],
  [
    'DATABASE_URL with PGSSLMODE and PGSSLROOTCERT',
    (root: string) => ({
      DATABASE_URL: `postgresql://${database.user}:${encodeURIComponent(database.password)}@localhost:${database.port}/${database.database}`,
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: root,
    }),
  ],
] as const) {
  test(`verification that is asked for by ${what} is done`, async (t) => {
    const { right, wrong } = certificates(t);
    const trusted = await migrate(t, { POSTGRES_HOST: 'localhost', ...env(right) });
    assert.equal(trusted.exitCode, 0, trusted.stderr);
    assert.equal((await migrate(t, { POSTGRES_HOST: 'localhost', ...env(wrong) })).exitCode, 2);
  });
}

test('a root certificate that is missing, or none, is told by name', async (t) => {
  const missing = await migrate(t, { POSTGRES_SSLMODE: 'verify-full', POSTGRES_SSLROOTCERT: '/nowhere/root.pem' });
  assert.deepEqual(
    [missing.exitCode, /cannot read the root certificate \/nowhere\/root\.pem/.test(missing.stderr)],
    [74, true],
    missing.stderr,
  );
  const file = path.join(temporaryDirectory(t), 'text.pem');
  writeFileSync(file, 'no certificate');
  const other = await migrate(t, { POSTGRES_SSLMODE: 'verify-full', POSTGRES_SSLROOTCERT: file });
  assert.deepEqual(
    [other.exitCode, /expected a file with certificates in PEM format/.test(other.stderr)],
    [2, true],
    other.stderr,
  );
});
