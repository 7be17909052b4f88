import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { UsageError } from '../../src/platform/errors.js';
import {
  assertProtected,
  createAccessCheck,
  isLoopback,
  type AccessSettings,
  type Refusal,
} from '../../src/platform/httpAccess.js';

const refusalOf = (settings: Partial<AccessSettings>, headers: Record<string, string>): Refusal | undefined =>
  createAccessCheck({ host: '127.0.0.1', scheme: 'Bearer', realm: 'test', secret: undefined, ...settings })({
    headers,
  } as unknown as IncomingMessage);
const statusOf = (...args: Parameters<typeof refusalOf>): number | undefined => refusalOf(...args)?.status;
const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;

test('without a secret only names that are ours are answered', () => {
  for (const host of ['127.0.0.1:1', 'localhost', '[::1]:80', '10.0.0.7:9464'])
    assert.equal(statusOf({}, { host }), undefined);
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', ''])
    assert.equal(statusOf({}, { host }), 421, host);
  assert.equal(statusOf({}, {}), 421);
});

test('with a token, it is what decides, under whatever name', () => {
  const settings = { secret: 's3cret ü', host: '0.0.0.0' };
  // Node hands the bytes of a header over as Latin-1.
  const sent = Buffer.from('s3cret ü').toString('latin1');
  assert.equal(statusOf(settings, { host: 'streamer:9464', authorization: `Bearer ${sent}` }), undefined);
  assert.equal(statusOf(settings, { host: 'streamer:9464', authorization: `bearer ${sent}` }), undefined);
  for (const authorization of [
    '',
    'Bearer',
    'Bearer ',
    'Bearer s3cret',
    `Bearer ${sent}x`,
    `Basic ${sent}`,
    sent,
    basic(`u:s3cret ü`),
  ])
    assert.equal(statusOf(settings, { host: 'localhost', authorization }), 401, authorization);
});

test('a password is asked for as browsers know it, and the user name does not matter', () => {
  const settings = { secret: 'with:colon ü', scheme: 'Basic' } as const;
  for (const user of ['', 'anybody'])
    assert.equal(statusOf(settings, { authorization: basic(`${user}:with:colon ü`) }), undefined);
  for (const authorization of ['', basic('with:colon ü'), basic('u:with'), 'Basic !', 'Bearer with:colon ü'])
    assert.equal(statusOf(settings, { authorization }), 401, authorization);
  const refusal = refusalOf(settings, {});
  assert.equal(refusal?.headers['www-authenticate'], 'Basic realm="test", charset="UTF-8"');
});

test('an address that other machines reach needs a secret', () => {
  const names = { host: '--metrics-host', secret: 'TOKEN', file: '--token-file' };
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost', '::ffff:127.0.0.1']) {
    assert.ok(isLoopback(host), host);
    assertProtected(host, undefined, names);
  }
  for (const host of ['0.0.0.0', '::', '', '10.0.0.7', 'streamer', '127.evil.example', 'localhost.evil.example']) {
    assertProtected(host, 'x', names);
    assert.throws(
      () => assertProtected(host, undefined, names),
      (error) => error instanceof UsageError && error.exitCode === 2 && /TOKEN or --token-file/.test(error.message),
      host,
    );
  }
});
