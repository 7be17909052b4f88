import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { ROOT } from '../docs/guide.js';
import { composeServices, dockerfile, type Service } from './composeFile.js';

/** The .env of the stack that this one replaces. */
const OLD_ENV = {
  POSTGRES_HOST: 'postgres',
  POSTGRES_PORT: '5432',
  POSTGRES_DB: 'ecommerce',
  POSTGRES_USER: 'postgres',
  POSTGRES_PASSWORD: 'postgres',
  PROCESSING_PATH: '/data/processing',
  CHECKPOINT_PATH: '/checkpoints',
};

const PUBLISHED = ['-f', 'docker-compose.yml', '-f', 'deploy/compose.published.yml'];
const client = ['docker-compose', '/usr/bin/docker-compose'].find((name) => spawnSync(name, ['version']).status === 0);
const skip = client === undefined && 'docker-compose is not installed';

function compose(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return spawnSync(client!, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], ...env },
  });
}

const services = Object.entries(composeServices());
const namesOf = (predicate: (service: Service) => boolean): string[] =>
  services.filter(([, service]) => predicate(service)).map(([name]) => name);

test('the compose client accepts the file, with every profile', { skip }, () => {
  const profiles = [...new Set(services.flatMap(([, { profiles = [] }]) => profiles))];
  assert.deepEqual(profiles.sort(), ['cluster', 'native', 'observability']);
  const { status, stderr, stdout } = compose([
    ...profiles.flatMap((name) => ['--profile', name]),
    'config',
    '--services',
  ]);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trim().split('\n').sort(), services.map(([name]) => name).sort());
});

test('what the README of the old stack has people type means something: its services, its container, its database', () => {
  const file = composeServices();
  for (const name of ['data-generator', 'file-mover', 'spark-streaming'])
    assert.equal(file[name]?.profiles, undefined, `${name} is started by docker-compose up -d`);
  assert.deepEqual(
    namesOf(({ container_name }) => container_name !== undefined),
    ['postgres'],
    'a service with a name for its container cannot be scaled',
  );
  const { container_name, environment } = file['postgres']!;
  assert.equal(container_name, 'ecommerce-postgres');
  assert.deepEqual(
    [environment?.['POSTGRES_DB'], environment?.['POSTGRES_USER'], environment?.['POSTGRES_PASSWORD']],
    ['ecommerce', 'postgres', 'postgres'],
  );
  assert.deepEqual(file['data-generator']!.command.slice(1), [
    ...['--output-dir', '/data/incoming'],
    ...['--interval', '5'],
    ...['--batch-size', '10'],
  ]);
  assert.equal(file['data-generator']?.ports, undefined, 'two of them would want the same port');
});

test('all seven variables of an old .env act, on every service that they concern', () => {
  const env = {
    POSTGRES_HOST: 'db.example.com',
    POSTGRES_PORT: '6432',
    POSTGRES_DB: 'a',
    POSTGRES_USER: 'b',
    POSTGRES_PASSWORD: 'c',
    PROCESSING_PATH: '/data/inbox',
    CHECKPOINT_PATH: '/checkpoints',
  };
  assert.deepEqual(Object.keys(env), Object.keys(OLD_ENV));
  const file = composeServices(env);
  const { CHECKPOINT_PATH, PROCESSING_PATH, ...database } = env;
  for (const name of ['migrate', 'spark-streaming', 'streamer', 'dashboard'])
    assert.deepEqual({ ...file[name]?.environment, ...database }, file[name]?.environment, name);
  for (const name of ['file-mover', 'spark-streaming', 'streamer', 'dashboard'])
    assert.equal(file[name]?.environment?.['PROCESSING_PATH'], PROCESSING_PATH, name);
  for (const name of ['spark-streaming', 'streamer']) {
    assert.equal(file[name]?.environment?.['CHECKPOINT_PATH'], CHECKPOINT_PATH, name);
    assert.ok(file[name].volumes?.includes('checkpoints:/checkpoints'), name);
  }
  const { environment, ports } = file['postgres']!;
  assert.deepEqual(ports, ['127.0.0.1:6432:6432']);
  assert.deepEqual(
    { ...environment, POSTGRES_DB: 'a', POSTGRES_USER: 'b', POSTGRES_PASSWORD: 'c', PGPORT: '6432' },
    environment,
  );
});

test('the directory of an old CHECKPOINT_PATH belongs to the user of both images', () => {
  const made = dockerfile().filter(({ name, text }) => name === 'RUN' && /mkdir .* \/checkpoints/.test(text));
  assert.deepEqual(
    made.map(({ text }) => text.includes('chown -R node:node /data /checkpoints')),
    [true, true],
  );
});

test('ports are published on 127.0.0.1 only, where a default password does no harm', () => {
  const ports = services.flatMap(([, { ports = [] }]) => ports);
  assert.ok(ports.includes('127.0.0.1:8787:8787'), 'the dashboard can be looked at');
  assert.deepEqual(
    ports.filter((port) => !port.startsWith('127.0.0.1:')),
    [],
  );
});

test('publishing beyond 127.0.0.1 asks for a password', { skip }, () => {
  const address = { PUBLISHED_ADDRESS: '192.0.2.10' };
  // Empty is stronger than what an .env in the checkout may say.
  const refused = compose([...PUBLISHED, 'config'], { ...address, POSTGRES_PASSWORD: '' });
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /a password of your own is needed/);
  const accepted = compose([...PUBLISHED, 'config'], { ...address, POSTGRES_PASSWORD: 'of my own' });
  assert.equal(accepted.status, 0, accepted.stderr);
  const { services: published } = parse(accepted.stdout) as { services: Record<string, Service> };
  assert.deepEqual(published['postgres']?.ports?.map((port) => port.replace(/\/tcp$/, '')).sort(), [
    '127.0.0.1:5432:5432',
    '192.0.2.10:5432:5432',
  ]);
});

test('only those who connect to the database get its password', () => {
  const connecting = ['dashboard', 'migrate', 'postgres', 'spark-streaming', 'streamer'];
  assert.deepEqual(namesOf(({ environment = {} }) => 'POSTGRES_PASSWORD' in environment).sort(), connecting);
  const text = readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8');
  assert.doesNotMatch(text, /^ +env_file:/m, 'an env_file would give all of .env to a service');
});

test('every container is read-only, has no capabilities and can gain none', () => {
  for (const [name, { cap_add, cap_drop, privileged, read_only, security_opt }] of services)
    assert.deepEqual(
      { cap_add, cap_drop, privileged, read_only, security_opt },
      {
        cap_add: undefined,
        cap_drop: ['ALL'],
        privileged: undefined,
        read_only: true,
        security_opt: ['no-new-privileges:true'],
      },
      name,
    );
});

test('one service builds each image; the others use what it built, come after it, and pull nothing', () => {
  for (const image of ['ecompipe', 'ecompipe-spark']) {
    const [builder, ...users] = services.filter(([, service]) => service.image === image);
    assert.deepEqual([builder?.[1].build !== undefined, builder?.[1].pull_policy], [true, 'build'], image);
    assert.ok(users.length > 1, image);
    for (const [name, { build, pull_policy }] of users)
      assert.deepEqual([build, pull_policy], [undefined, 'never'], `${name}, or one that comes before the builder`);
  }
  const file = composeServices();
  const waitsForBuild = (name: string): boolean =>
    name === 'migrate' || Object.keys(file[name]?.depends_on ?? {}).some(waitsForBuild);
  assert.deepEqual(
    namesOf(({ image }) => image.startsWith('ecompipe')).filter((name) => !waitsForBuild(name)),
    [],
  );
});

test('Prometheus scrapes every service that serves metrics', () => {
  const { scrape_configs } = parse(readFileSync(path.join(ROOT, 'deploy/prometheus/prometheus.yml'), 'utf8')) as {
    scrape_configs: { dns_sd_configs: { names: string[]; port: number }[] }[];
  };
  const scraped = scrape_configs.flatMap(({ dns_sd_configs }) => dns_sd_configs);
  const serving = namesOf(({ environment = {} }) => 'ECOMPIPE_METRICS_PORT' in environment);
  const running = namesOf(({ image, entrypoint }) => image.startsWith('ecompipe') && entrypoint === undefined);
  assert.deepEqual(serving.sort(), running.filter((name) => name !== 'migrate').sort());
  assert.deepEqual(scraped.flatMap(({ names }) => names).sort(), serving);
  assert.deepEqual(
    new Set(serving.map((name) => Number(composeServices()[name]?.environment?.['ECOMPIPE_METRICS_PORT']))),
    new Set(scraped.map(({ port }) => port)),
  );
});

test('base images are named by digest; where none is known, a comment says why', () => {
  const bases = dockerfile()
    .filter(({ name }) => name === 'FROM')
    .map(({ text }) => text.split(' ')[0]!);
  const images = services.map(([, { image }]) => image).filter((image) => !image.startsWith('ecompipe'));
  const floating = [...bases, ...images].filter((image) => !/^[\w/-]+:[\w.-]+@sha256:[0-9a-f]{64}$/.test(image));
  const text = readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8');
  const [, explained = ''] = /# No digest for (.*):/.exec(text) ?? [];
  assert.ok(floating.length < bases.length + images.length);
  assert.deepEqual(
    floating.filter((image) => !explained.split(' ').includes(image.split(':')[0]!)),
    [],
  );
});
