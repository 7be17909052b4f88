import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AliasTable, Random } from '../../../src/pipeline/generate/random.js';
import { EventIds, Permutation } from '../../../src/pipeline/generate/identifiers.js';
import { IsoTimeWriter, writeCents } from '../../../src/pipeline/generate/rowBytes.js';
import { exp, ln, normalQuantile, pow } from '../../../src/pipeline/generate/math.js';
import { summerTimeMs } from '../../../src/pipeline/generate/geography.js';
import { parseRow, renderFields } from '../../../src/pipeline/generate/faults/record.js';
import { EVENT_COLUMNS } from '../../../src/contract/columns.js';

const KEY = { low: 123, high: 456 };
const near = (actual: number, expected: number, relative: number): void =>
  assert.ok(
    Math.abs(actual - expected) <= relative * Math.max(1e-300, Math.abs(expected)),
    `${actual} is not ${expected}`,
  );

test('logarithm, exponential and power agree with the engine to 13 digits', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
      fc.double({ min: -50, max: 50, noNaN: true }),
      (x, y) => {
        assert.ok(Math.abs(ln(x) - Math.log(x)) < 1e-13 * Math.max(1, Math.abs(Math.log(x))));
        near(exp(y), Math.exp(y), 1e-13);
        near(pow(x, y / 50), x ** (y / 50), 1e-12);
      },
    ),
  );
});

test('the normal quantiles are those of the tables', () => {
  for (const [p, z] of [
    [0.5, 0],
    [0.975, 1.959964],
    [0.001, -3.090232],
    [0.99865, 2.99998],
    [0.2, -0.841621],
  ] as const)
    assert.ok(Math.abs(normalQuantile(p) - z) < 1e-5);
});

test('a permutation gives every number once', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer(), (low, high) => {
      const permutation = new Permutation({ low, high }, 5);
      const seen = new Set<number>();
      for (let number = 0; number < 1024; number++) {
        permutation.apply(number >> 5, number & 31);
        seen.add(permutation.high * 32 + permutation.low);
      }
      assert.deepEqual(
        [...seen].sort((a, b) => a - b),
        Array.from({ length: 1024 }, (_, number) => number),
      );
    }),
  );
});

test('event ids are version 7 of their time, sort as they were made, and do not repeat', () => {
  const ids = new EventIds(KEY);
  const buffer = Buffer.alloc(36);
  const made: string[] = [];
  for (let sequence = 0; sequence < 5000; sequence++) {
    const timeMs = Date.UTC(2026, 0, 1) + Math.floor(sequence / 7);
    assert.equal(ids.write(buffer, 0, timeMs, sequence), 36);
    const id = buffer.toString('latin1');
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(parseInt(id.slice(0, 8) + id.slice(9, 13), 16), timeMs);
    assert.equal(ids.tailHigh16 * 2 ** 32 + ids.tailLow32, parseInt(id.slice(-12), 16));
    made.push(id);
  }
  assert.deepEqual(made, [...made].sort());
  assert.equal(new Set(made).size, made.length);
});

test('another run has other ids for the same time and number', () => {
  const [one, two] = [KEY, { low: 124, high: 456 }].map((key) => {
    const buffer = Buffer.alloc(36);
    new EventIds(key).write(buffer, 0, 1_800_000_000_000, 0);
    return buffer.toString('latin1');
  });
  assert.notEqual(one, two);
});

test('times are written as Date does', () => {
  const writer = new IsoTimeWriter();
  const buffer = Buffer.alloc(24);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Date.UTC(9998, 0) }), (ms) => {
      writer.write(buffer, 0, ms);
      assert.equal(buffer.toString('latin1'), new Date(ms).toISOString());
    }),
  );
});

test('money is written with two digits behind the point', () => {
  const buffer = Buffer.alloc(20);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999_999 }), (cents) => {
      assert.equal(
        buffer.toString('latin1', 0, writeCents(buffer, 0, cents)),
        `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`,
      );
    }),
  );
});

test('weights are drawn as often as they weigh', () => {
  const random = new Random(KEY, 1);
  const table = new AliasTable([1, 0, 3, 6]);
  const counts = [0, 0, 0, 0];
  for (let draw = 0; draw < 100_000; draw++) counts[table.draw(random)]!++;
  assert.equal(counts[1], 0);
  for (const [index, share] of [
    [0, 0.1],
    [2, 0.3],
    [3, 0.6],
  ] as const)
    assert.ok(Math.abs(counts[index]! / 100_000 - share) < 0.01);
});

test('random streams of neighbouring keys have nothing in common', () => {
  const firsts = new Set<number>();
  for (let index = 0; index < 20_000; index++) firsts.add(new Random(KEY, 3, index).uint32());
  // Of 20,000 draws from 2³² numbers 0.05 collide on average.
  assert.ok(firsts.size > 19_995);
});

test('summer time begins and ends when the clocks of the European Union say', () => {
  for (let day = 0; day < 365 * 8; day++) {
    const ms = Date.UTC(2024, 0, 1, 12) + day * 86_400_000;
    const berlin = Number(
      new Intl.DateTimeFormat('en', { timeZone: 'Europe/Berlin', hour: 'numeric', hourCycle: 'h23' }).format(ms),
    );
    assert.equal(12 + 1 + summerTimeMs(ms) / 3_600_000, berlin, new Date(ms).toISOString());
  }
});

test('any fields survive being rendered and taken apart', () => {
  const facts = { type: 0, moneyCents: 0, idHigh16: 0, idLow32: 0, content: 0 };
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary' }), { minLength: EVENT_COLUMNS.length, maxLength: EVENT_COLUMNS.length }),
      (fields) => {
        assert.deepEqual(parseRow(Buffer.from(`${renderFields(fields)}\n`), facts).fields, fields);
      },
    ),
  );
});
