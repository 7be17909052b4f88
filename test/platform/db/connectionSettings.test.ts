import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { openConnection } from '../../../src/platform/db/client.js';
import { resolveConnection, type RawDatabaseSettings } from '../../../src/platform/db/connectionSettings.js';
import { LIBPQ_KEYWORDS } from '../../../src/platform/db/libpqKeywords.js';
import { UsageError } from '../../../src/platform/errors.js';
import { temporaryDirectory } from '../files/directories.js';

const resolve = (databaseUrl: string, environment: NodeJS.ProcessEnv = {}): ReturnType<typeof resolveConnection> =>
  resolveConnection({ databaseUrl } as RawDatabaseSettings, environment);

/** PostgreSQL 18 manual, 34.1.2, in its order. */
const MANUAL =
  `host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout client_encoding
  options application_name fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count
  tcp_user_timeout replication gssencmode sslmode requiressl sslnegotiation sslcompression sslcert sslkey sslkeylogfile
  sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version
  ssl_max_protocol_version min_protocol_version max_protocol_version krbsrvname gsslib gssdelegation scram_client_key
  scram_server_key service servicefile target_session_attrs load_balance_hosts oauth_issuer oauth_client_id
  oauth_client_secret oauth_scope`.split(/\s+/);

test("each of libpq's parameters is followed or refused, and no other is known", () => {
  assert.deepEqual(Object.keys(LIBPQ_KEYWORDS).sort(), [...MANUAL].sort());
});

test('a parameter that is not supported is refused by its name, from a URL and from the environment', () => {
  for (const [keyword, { accepted, variable }] of Object.entries(LIBPQ_KEYWORDS)) {
    if (accepted === undefined) continue;
    assert.throws(() => resolve(`postgresql://h/db?${keyword}=nonsense`), new RegExp(`DATABASE_URL.*"${keyword}"`));
    if (variable !== undefined)
      assert.throws(() => resolve('postgresql://h/db', { [variable]: 'nonsense' }), new RegExp(`${variable}: `));
  }
});

for (const [parameter, meant] of [
  ['sslMode=require', 'sslmode'],
  ['ssl_mode=require', 'sslmode'],
  ['SSLROOTCERT=x', 'sslrootcert'],
  ['applicationName=x', 'application_name'],
] as const) {
  test(`a misspelt ${parameter} is refused with the right name`, () => {
    assert.throws(() => resolve(`postgresql://h/db?${parameter}`), new RegExp(`did you mean ${meant}\\?`));
  });
}

for (const [url, expected] of [
  ['postgresql://', { host: 'localhost', port: 5432, sslMode: 'prefer' }],
  ['postgresql:///db', { host: 'localhost', database: 'db' }],
  ['postgres://u:p%40s@h:5433/db', { host: 'h', port: 5433, user: 'u', password: 'p@s', database: 'db' }],
  ['postgresql://u:p@/db?host=/cloudsql/x', { host: '/cloudsql/x', user: 'u', password: 'p', database: 'db' }],
  ['postgresql://%2Fvar%2Frun/db', { host: '/var/run', database: 'db' }],
  ['postgresql://[::1]:5433/db', { host: '::1', port: 5433 }],
  ['postgresql://h/db?ssl=true', { sslMode: 'require' }],
  ['postgresql://h/db?sslmode=require&sslrootcert=r', { sslMode: 'verify-ca', sslRootCert: 'r' }],
  ['postgresql://h/db?sslrootcert=system', { sslMode: 'verify-full' }],
  ['postgresql://h/db?hostaddr=10.0.0.1', { host: 'h', hostAddress: '10.0.0.1' }],
  ['postgresql://h/db?options=-c%20geqo%3Doff', { options: '-c geqo=off' }],
  ['postgresql://h/db?require_auth=!password,!md5', { requireAuth: ['none', 'scram-sha-256'] }],
  ['postgresql://h/db?connect_timeout=3&application_name=shop', { connectTimeoutMs: 3000, applicationName: 'shop' }],
  ['postgresql://h/db?user=a&port=1&dbname=x', { user: 'a', port: 1, database: 'x' }],
  ['postgresql://h/db?ssl_min_protocol_version=TLSv1.3', { minTlsVersion: 'TLSv1.3' }],
] as const) {
  test(`${url} means what it means to libpq`, () => {
    const settings = resolve(url);
    assert.ok(settings);
    assert.deepEqual({ ...settings, ...expected }, settings);
  });
}

test('a password file is looked up as libpq does', (t) => {
  const file = path.join(temporaryDirectory(t), 'pass');
  const lines = [
    '# ours',
    'h:5432:db:other:no',
    String.raw`a\:b:*:*:u:colon`,
    'h:1:db:u:no',
    String.raw`h:*:db:u:s\:e\\c`,
    '*:*:*:*:last',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  const passwordOf = (url: string): string | undefined =>
    resolve(`${url}${url.includes('?') ? '&' : '?'}passfile=${file}`)?.password;
  assert.deepEqual(
    ['postgresql://u@h/db', 'postgresql://u@/db?host=a:b', 'postgresql://u@h/x', 'postgresql://u:own@h/db'].map(
      passwordOf,
    ),
    [String.raw`s:e\c`, 'colon', 'last', 'own'],
  );
  assert.equal(resolve('postgresql://u@h/db', { PGPASSFILE: file })?.password, String.raw`s:e\c`);
  assert.throws(() => resolve(`postgresql://u@h/db?passfile=${file}.gone`), /cannot read the password file/);
  chmodSync(file, 0o640);
  assert.throws(() => resolve(`postgresql://u@h/db?passfile=${file}`), UsageError);
});

test('several hosts are refused for what they are', () => {
  for (const url of ['postgresql://u:p@a:1,b:2/db', 'postgresql:///db?host=a,b', 'postgresql://h/db?hostaddr=::1,::2'])
    assert.throws(() => resolve(url), /several hosts are not supported/);
});

test('a service names the server, behind what the URL says and before the environment', (t) => {
  const file = path.join(temporaryDirectory(t), 'services');
  writeFileSync(
    file,
    '# ours\n[other]\nhost=wrong\n[shop]\nhost=right\nport=5433\ndbname=shop\nuser=u\n[last]\nhost=wrong\n',
  );
  const environment = { PGSERVICEFILE: file, PGPORT: '1', PGUSER: 'x' };
  for (const settings of [
    resolve('postgresql:///?service=shop', environment),
    resolveConnection({} as RawDatabaseSettings, { ...environment, PGSERVICE: 'shop' }),
  ])
    assert.deepEqual(settings, { host: 'right', port: 5433, database: 'shop', user: 'u', sslMode: 'prefer' });
  assert.equal(resolve('postgresql://mine/?service=shop', environment)?.host, 'mine');
  assert.throws(() => resolve('postgresql:///?service=gone', environment), /service "gone": not found in/);
});

test('without a server of its own to go to, nothing of PG* is looked at', () => {
  assert.equal(resolveConnection({} as RawDatabaseSettings, { PGSSLMODE: 'bogus', PGOPTIONS: '-c x=y' }), undefined);
});

test('any text is a connection or is refused, without being shown', () => {
  const pieces = [
    'postgresql://',
    '@',
    ':',
    '/',
    '?',
    '&',
    '=',
    '%',
    '%00',
    '%2F',
    '[',
    ']',
    ',',
    'geheim',
    '::1',
    '5432',
  ];
  pieces.push('host', ...Object.keys(LIBPQ_KEYWORDS), ' ', '#', '\u00e4', '__proto__', 'require', '');
  let state = 7;
  const random = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 20_000; round++) {
    const url = `postgresql://${Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join('')}`;
    try {
      const settings = resolve(url);
      assert.ok(settings && settings.port > 0 && settings.host !== '', url);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
    }
  }
});

for (const [method, code] of [
  ['in clear text', 3],
  ['by MD5', 5],
] as const) {
  test(`a password is not sent ${method} over a network without TLS, nor where require_auth excludes it`, async (t) => {
    const asked = Buffer.from(code === 3 ? [82, 0, 0, 0, 8, 0, 0, 0, 3] : [82, 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4]);
    const heard: Buffer[] = [];
    const server = createServer((socket) => {
      socket.once('data', () => socket.write(asked));
      socket.on('data', (bytes) => heard.push(bytes));
      socket.on('error', () => undefined);
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const base = { port, database: 'd', user: 'u', password: 'geheim', sslMode: 'disable' } as const;
    for (const settings of [{ host: '0.0.0.0' }, { host: '127.0.0.1', requireAuth: ['scram-sha-256'] as const }])
      await assert.rejects(openConnection({ ...base, ...settings }), /without TLS|require_auth excludes/);
    assert.doesNotMatch(Buffer.concat(heard).toString('latin1'), /geheim|md5/);
  });
}
