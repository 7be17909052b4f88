// Writes the schema that the migrations make to sql/schema.sql, as pg_dump shows it: `npm run schema`. With --check it
// only compares, so that a change of the schema is seen in review as what it is.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { startTestServer } from '../test/helpers/postgres.js';

const FILE = 'sql/schema.sql';

// The oldest version we support, with its own pg_dump: the text differs between versions.
const server = await startTestServer({ version: '15' });
const database = await server.createDatabase();
execFileSync(process.execPath, ['bin/ecompipe.js', '--quiet', 'migrate'], {
  env: { ...process.env, DATABASE_URL: database.url },
  stdio: ['ignore', 'ignore', 'inherit'],
});
const dump = execFileSync(
  '/usr/lib/postgresql/15/bin/pg_dump',
  ['--schema-only', '--no-owner', '--no-privileges', database.url],
  { encoding: 'utf8' },
);
await server.stop();

// pg_dump says its version and a random key of its \restrict lines: neither is the schema's.
const text = dump
  .split('\n')
  .filter((line) => !/^(--|\\(un)?restrict|$)/.test(line))
  .join('\n');
const schema = `-- The schema after all migrations, by pg_dump from PostgreSQL 15. Written by \`npm run schema\`; do not edit.\n${text}\n`;

if (!process.argv.includes('--check')) writeFileSync(FILE, schema);
else if (readFileSync(FILE, 'utf8') !== schema) {
  console.error(`${FILE} is out of date; run \`npm run schema\` and look at what changed`);
  process.exitCode = 1;
}
