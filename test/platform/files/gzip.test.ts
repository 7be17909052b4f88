import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { DamagedGzipError, gunzipChunks, gunzipWhole } from '../../../src/platform/files/gzip.js';

const member = (text: string): Buffer => gzipSync(text);

async function streamed(bytes: Buffer, chunkBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const chunks = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      await Promise.resolve();
      yield bytes.subarray(at, at + chunkBytes);
    }
  };
  for await (const piece of gunzipChunks(chunks())) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What both ways of decompressing say: the content, or that it is damaged. */
async function content(bytes: Buffer, chunkBytes: number): Promise<string> {
  const asText = (read: () => Buffer | Promise<Buffer | undefined> | undefined): Promise<string> =>
    Promise.resolve()
      .then(read)
      .then(String, (error: unknown) => {
        assert.ok(error instanceof DamagedGzipError, String(error));
        return 'damaged';
      });
  const whole = await asText(() => gunzipWhole(bytes, 1e6));
  assert.equal(await asText(() => streamed(bytes, chunkBytes)), whole, `chunks of ${chunkBytes} bytes`);
  return whole;
}

const [a, b] = [member('a\n'), member('b\n')];
const CASES: readonly (readonly [name: string, bytes: Buffer, expected: string])[] = [
  ['nothing', Buffer.alloc(0), ''],
  ['one member', a, 'a\n'],
  ['two members', Buffer.concat([a, b]), 'a\nb\n'],
  ['zeros behind the last member', Buffer.concat([a, b, Buffer.alloc(700)]), 'a\nb\n'],
  ['a zero between members', Buffer.concat([a, Buffer.alloc(1), b]), 'damaged'],
  ['zeros between members', Buffer.concat([a, Buffer.alloc(512), b]), 'damaged'],
  ['a second member that begins with a zero', Buffer.concat([a, Buffer.from([0]), b.subarray(1)]), 'damaged'],
  ['text behind a member', Buffer.concat([a, Buffer.from('junk')]), 'damaged'],
  ['a second member cut short', Buffer.concat([a, b.subarray(0, -3)]), 'damaged'],
  [
    'a member with a wrong checksum',
    Buffer.concat([a.subarray(0, -8), Buffer.from([1, 2, 3, 4]), a.subarray(-4)]),
    'damaged',
  ],
  ['half a header', a.subarray(0, 5), 'damaged'],
];

for (const [name, bytes, expected] of CASES) {
  test(`${name}: ${expected === 'damaged' ? 'damaged' : 'read whole'}, at once and in chunks of any size`, async () => {
    for (const chunkBytes of [1, 2, 3, 7, a.length, a.length + 1, 4096])
      assert.equal(await content(bytes, chunkBytes), expected);
  });
}

test('whatever gzip itself refuses is damaged, and what it accepts reads the same', async () => {
  const piece = fc.oneof(
    fc.string({ maxLength: 30 }).map(member),
    fc.nat({ max: 40 }).map((length) => Buffer.alloc(length)),
    fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(fc.string({ maxLength: 30 }), fc.nat({ max: 20 }))
      .map(([text, cut]) => member(text).subarray(0, -cut || undefined)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 64 }),
      async (pieces, chunkBytes) => {
        const bytes = Buffer.concat([member('first\n'), ...pieces]);
        const { status, stdout } = spawnSync('gzip', ['-dc'], { input: bytes });
        assert.equal(await content(bytes, chunkBytes), status === 0 ? stdout.toString() : 'damaged');
      },
    ),
    { numRuns: 300 },
  );
});
