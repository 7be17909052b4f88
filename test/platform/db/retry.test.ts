import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { withRetry } from '../../../src/platform/db/retry.js';
import {
  classifyError,
  ConnectionLostError,
  hintFor,
  TransientError,
  type ErrorClass,
} from '../../../src/platform/db/sqlState.js';
import { UsageError } from '../../../src/platform/errors.js';
import { silentLogger } from '../../../src/platform/log.js';

function serverError(code: string): pg.DatabaseError {
  return Object.assign(new pg.DatabaseError('said the server', 0, 'error'), { code });
}
const withCode = (code: string): Error => Object.assign(new Error('failed'), { code });

const CLASSES: readonly (readonly [ErrorClass, readonly Error[]])[] = [
  ['row', ['22P02', '22021', '22P04', '23502', '23505', '23514', '23P01'].map(serverError)],
  [
    'retry',
    [
      '08006',
      '57P01',
      '57P02',
      '57P03',
      '57014',
      '40001',
      '40P01',
      '53300',
      '53100',
      '55P03',
      '25006',
      'XX000',
      'P0001',
      'ZZ999',
    ].map(serverError),
  ],
  [
    'retry',
    [
      ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'].map(
        (code) => new ConnectionLostError(withCode(code)),
      ),
      new ConnectionLostError(new Error('Connection terminated unexpectedly')),
      new TransientError('the executors cannot stage rows'),
    ],
  ],
  ['fatal', ['42501', '42P01', '42703', '28P01', '28000', '3D000', '3F000', '0A000'].map(serverError)],
  [
    'bug',
    [
      new Error('any other error'),
      new TypeError('x is not a function'),
      new RangeError('no record 3'),
      withCode('ERR_INVALID_ARG_TYPE'),
      new UsageError(['no']),
    ],
  ],
];
for (const [expected, errors] of CLASSES) {
  for (const error of errors) {
    test(`${(error as { code?: string }).code ?? error.message} asks for: ${expected}`, () =>
      assert.equal(classifyError(error), expected));
  }
}

const settings = (retryForMs: number, stop = new AbortController().signal): Parameters<typeof withRetry>[1] => ({
  retryForMs,
  stop,
  log: silentLogger,
});

test('a passing failure is tried again until it passes', async () => {
  let attempts = 0;
  assert.equal(
    await withRetry('cannot', settings(5000), () =>
      ++attempts < 3 ? Promise.reject(new ConnectionLostError(withCode('ECONNREFUSED'))) : Promise.resolve('done'),
    ),
    'done',
  );
  assert.equal(attempts, 3);
});

test('a failure that does not pass ends with exit code 69 after the time that was given', async () => {
  await assert.rejects(
    withRetry('cannot', settings(120), () => Promise.reject(new ConnectionLostError(withCode('ECONNREFUSED')))),
    { name: 'DatabaseError', exitCode: 69 },
  );
});

test('only the time since the failures began counts: what worked for longer before is tried again', async () => {
  let attempts = 0;
  const attempt = async (): Promise<string> => {
    if (++attempts > 1) return 'done';
    await new Promise((resolve) => setTimeout(resolve, 150));
    throw new ConnectionLostError(withCode('ECONNRESET'));
  };
  assert.equal(await withRetry('cannot', settings(100), attempt), 'done');
});

for (const [what, code, exitCode] of [
  ['a missing table', '42P01', 2],
  ['a missing right', '42501', 77],
  ['a wrong password', '28P01', 77],
] as const) {
  test(`${what} is not tried again and ends with exit code ${exitCode}`, async () => {
    let attempts = 0;
    await assert.rejects(
      withRetry('cannot', settings(5000), () => Promise.reject((attempts++, serverError(code)))),
      { exitCode, sqlState: code },
    );
    assert.equal(attempts, 1);
  });
}

test('a stop ends the waiting', async () => {
  const stop = new AbortController();
  const failing = withRetry('cannot', settings(60_000, stop.signal), () => {
    stop.abort();
    return Promise.reject(new ConnectionLostError(withCode('ECONNREFUSED')));
  });
  await assert.rejects(failing, { exitCode: 130 });
});

test('a host name without dots that nobody knows may be a service of Docker Compose: the hint says so, and what to set', () => {
  const unknown = (hostname: string, code = 'ENOTFOUND'): string | undefined =>
    hintFor(new ConnectionLostError(Object.assign(withCode(code), { hostname })));
  for (const hint of [unknown('postgres'), unknown('postgres', 'EAI_AGAIN')])
    assert.match(hint ?? '', /"postgres" is a service of Docker Compose.*PROCESSING_PATH.*POSTGRES_HOST=localhost/);
  assert.doesNotMatch(unknown('db.example.com') ?? '', /Compose/);
  assert.doesNotMatch(hintFor(new ConnectionLostError(withCode('ECONNREFUSED'))) ?? '', /Compose/);
});
