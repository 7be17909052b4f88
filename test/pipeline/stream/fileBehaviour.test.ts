import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '../../../src/platform/log.js';
import { runMove } from '../../../src/pipeline/move/runMove.js';
import { temporaryDirectory } from '../../platform/files/directories.js';
import { eventFile, eventId, eventRows } from '../../helpers/events.js';
import { noMount, withFileSystem } from '../../helpers/fileSystems.js';
import { migratedDatabase } from '../../helpers/migrated.js';
import type { TestDatabase } from '../../helpers/postgres.js';
import { load, openShop, type Shop } from './harness.js';
import { assertLedger, eventIds } from './tables.js';
import { namesIn, pathIn } from '../../helpers/dayFolders.js';

const UNPRIVILEGED = 65_534;
const never = new AbortController().signal;
const now = AbortSignal.abort();

/** What a file holds: new rows each time, so that each row in the table says from where it came. */
interface Content {
  readonly text: string;
  readonly rows: readonly number[];
}

/** What must be true, kept by the rules of the promise alone. */
interface Model {
  readonly incoming: Map<string, Content>;
  readonly processing: Content[];
  readonly loaded: Set<number>;
  /** Of files that somebody replaced or deleted while they may have been loading: either is right. */
  readonly open: Set<number>;
  nextRow: number;
}

interface World {
  readonly shop: Shop;
  readonly database: TestDatabase;
  readonly incoming: string;
}

function newContent(model: Model, count: number): Content {
  const from = model.nextRow;
  model.nextRow += count;
  return { text: eventFile(from, from + count), rows: Array.from({ length: count }, (_, n) => from + n) };
}

type Step = (model: Model, world: World) => Promise<void> | void;

/** A command of the random test: a name to print and what it does to both. */
class Action implements fc.AsyncCommand<Model, World> {
  constructor(
    private readonly what: string,
    private readonly step: Step,
  ) {}

  readonly check = (): boolean => true;

  async run(model: Model, world: World): Promise<void> {
    await this.step(model, world);
  }

  readonly toString = (): string => this.what;
}

const nth = <T>(items: readonly T[], n: number): T | undefined => items[n % Math.max(1, items.length)];
const waiting = ({ shop }: World): string[] => readdirSync(shop.settings.inputDir).sort();
const read = (file: string): string => readFileSync(file, 'utf8');

/** Moves what is in incoming/; `onWaiting` runs when the mover has looked at a file for the first time. */
async function move(model: Model, world: World, onWaiting: (name: string) => void = () => undefined): Promise<void> {
  const emit = (event: { readonly type: string; readonly name?: string }): void => {
    if (event.type === 'fileWaiting') onWaiting(event.name ?? '');
  };
  await runMove(
    { from: world.incoming, to: world.shop.settings.inputDir, settleMs: 15, pollIntervalMs: 1000 },
    { stop: never, drain: now, log: silentLogger, emit },
  );
  model.processing.push(...model.incoming.values());
  model.incoming.clear();
  assert.deepEqual(readdirSync(world.incoming), []);
  assert.deepEqual(
    waiting(world)
      .map((name) => read(path.join(world.shop.settings.inputDir, name)))
      .sort(),
    model.processing.map(({ text }) => text).sort(),
  );
}

/** Loads all there is, and looks at the table. */
async function loadAll(model: Model, world: World, onCommit: () => void = () => undefined): Promise<void> {
  await load(world.shop, world.database, {}, { onEvent: ({ type }) => type === 'batchCommitted' && onCommit() });
  // What came while it ran.
  await load(world.shop, world.database);
  for (const row of model.processing.splice(0).flatMap(({ rows }) => rows)) model.loaded.add(row);
  assert.deepEqual(waiting(world), []);
  const found = new Set(await eventIds(world.database));
  assert.deepEqual(
    [...model.loaded].filter((row) => !found.has(eventId(row))),
    [],
    'nothing is lost',
  );
  for (const row of [...model.loaded, ...model.open]) found.delete(eventId(row));
  assert.deepEqual([...found], [], 'nothing is there that should not be');
  await assertLedger(world.database);
}

function replaceWaiting(model: Model, world: World, n: number, isLoading: boolean): void {
  const name = nth(waiting(world), n);
  if (name === undefined) return;
  const file = path.join(world.shop.settings.inputDir, name);
  const before = read(file);
  const content = newContent(model, 9);
  writeFileSync(`${file}.tmp`, content.text);
  renameSync(`${file}.tmp`, file);
  const [old] = model.processing.splice(
    model.processing.findIndex(({ text }) => text === before),
    1,
    content,
  );
  if (isLoading) for (const row of old!.rows) model.open.add(row);
}

const NAMES = ['a.csv', 'b.csv', 'c.csv', 'd.csv'];
const small = fc.nat({ max: 7 });
const name = fc.constantFrom(...NAMES);

const actions = [
  fc.tuple(name, fc.constantFrom(3, 14)).map(
    ([into, count]) =>
      new Action(`write ${count} rows to ${into}`, (model, { incoming }) => {
        const content = newContent(model, count);
        model.incoming.set(into, content);
        writeFileSync(path.join(incoming, into), content.text);
      }),
  ),
  fc.tuple(name, small).map(
    ([into, n]) =>
      new Action(`the content of another file (${n}) as ${into}`, (model, { incoming }) => {
        const content = nth([...model.incoming.values(), ...model.processing], n);
        if (content === undefined) return;
        model.incoming.set(into, content);
        writeFileSync(path.join(incoming, into), content.text);
      }),
  ),
  fc.tuple(name, name).map(
    ([from, to]) =>
      new Action(`rename ${from} to ${to}`, (model, { incoming }) => {
        const content = model.incoming.get(from);
        if (content === undefined || from === to) return;
        model.incoming.delete(from);
        model.incoming.set(to, content);
        renameSync(path.join(incoming, from), path.join(incoming, to));
      }),
  ),
  name.map(
    (from) =>
      new Action(`delete ${from}`, (model, { incoming }) => {
        if (model.incoming.delete(from)) unlinkSync(path.join(incoming, from));
      }),
  ),
  small.map(
    (n) =>
      new Action(`set the time of a file (${n}) back to 1970`, (_, world) => {
        const files = [
          ...readdirSync(world.incoming).map((each) => path.join(world.incoming, each)),
          ...waiting(world).map((each) => path.join(world.shop.settings.inputDir, each)),
        ];
        const file = nth(files, n);
        if (file !== undefined) utimesSync(file, 1, 1);
      }),
  ),
  fc.constant(new Action('move', (model, world) => move(model, world))),
  name.map(
    (to) =>
      new Action(`move, while the producer of ${to} goes on writing`, async (model, world) => {
        let isDone = false;
        await move(model, world, (seen) => {
          const content = model.incoming.get(seen);
          if (seen !== to || isDone || content === undefined) return;
          isDone = true;
          const from = model.nextRow;
          model.nextRow += 4;
          const more = eventRows(from, from + 4);
          writeFileSync(path.join(world.incoming, seen), more, { flag: 'a' });
          model.incoming.set(seen, {
            text: content.text + more,
            rows: [...content.rows, from, from + 1, from + 2, from + 3],
          });
        });
      }),
  ),
  fc.constant(new Action('load', (model, world) => loadAll(model, world))),
  small.map(
    (n) =>
      new Action(`replace a file (${n}) that waits to be loaded`, (model, world) =>
        replaceWaiting(model, world, n, false),
      ),
  ),
  small.map(
    (n) =>
      new Action(`load, while somebody replaces a file (${n})`, async (model, world) => {
        let isDone = false;
        await loadAll(model, world, () => {
          if (!isDone) replaceWaiting(model, world, n, true);
          isDone = true;
        });
      }),
  ),
  small.map(
    (n) =>
      new Action(`delete a file (${n}) that waits to be loaded`, (model, world) => {
        const gone = nth(waiting(world), n);
        if (gone === undefined) return;
        const file = path.join(world.shop.settings.inputDir, gone);
        const text = read(file);
        unlinkSync(file);
        model.processing.splice(
          model.processing.findIndex((content) => content.text === text),
          1,
        );
      }),
  ),
  fc.constant(
    new Action('empty the archive, so that inodes come again', (_, { shop }) => {
      rmSync(shop.settings.archiveDir, { recursive: true, force: true });
    }),
  ),
  fc.constant(
    new Action('take processing/ away and put it back', async (_, { shop, database }) => {
      renameSync(shop.settings.inputDir, `${shop.settings.inputDir}.away`);
      await assert.rejects(load(shop, database), { exitCode: 74 });
      renameSync(`${shop.settings.inputDir}.away`, shop.settings.inputDir);
    }),
  ),
  small.map(
    (n) =>
      new Action(`load without the right to read one of them (${n})`, async (model, world) => {
        const closed = nth(waiting(world), n);
        if (closed === undefined) return;
        const file = path.join(world.shop.settings.inputDir, closed);
        const text = read(file);
        chmodSync(file, 0);
        await assert.rejects(load(world.shop, world.database), { exitCode: 77 });
        assert.deepEqual(waiting(world), [closed], 'the others are loaded');
        chmodSync(file, 0o600);
        const index = model.processing.findIndex((content) => content.text === text);
        for (const row of model.processing.filter((_content, other) => other !== index).flatMap(({ rows }) => rows))
          model.loaded.add(row);
        model.processing.splice(0, model.processing.length, model.processing[index]!);
      }),
  ),
];

/** Root may read everything: this process acts as somebody else until the test ends. */
function withoutPrivileges(t: TestContext): void {
  if (process.getuid?.() !== 0) return;
  process.seteuid!(UNPRIVILEGED);
  t.after(() => process.seteuid!(0));
}

/** With `ECOMPIPE_TEST_SEED=n` other orders than those of every day; a failure prints the shortest one. */
test(
  'whatever producers do to their files, in any order, each row that was there to be loaded is in the table once',
  { timeout: 240_000 },
  async (t) => {
    const root = temporaryDirectory(t);
    if (process.getuid?.() === 0) chownSync(root, UNPRIVILEGED, UNPRIVILEGED);
    // Made before the rights are gone: the server is started by then.
    const databases = await Promise.all(Array.from({ length: 3 }, () => migratedDatabase()));
    withoutPrivileges(t);
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.commands(actions, { maxCommands: 24, size: '+1' }), async (commands) => {
        const home = path.join(root, String(runs++));
        mkdirSync(home);
        const incoming = path.join(home, 'incoming');
        mkdirSync(incoming);
        const database = runs <= databases.length ? databases[runs - 1]! : await migratedDatabase();
        const world = { shop: openShop(home, { batchBytes: 1024 }), database, incoming };
        const model: Model = { incoming: new Map(), processing: [], loaded: new Set(), open: new Set(), nextRow: 0 };
        await fc.asyncModelRun(() => ({ model, real: world }), commands);
        await move(model, world);
        await loadAll(model, world);
      }),
      { numRuns: 15, seed: Number(process.env['ECOMPIPE_TEST_SEED'] ?? 1) },
    );
  },
);

test('a file that gets the inode of a loaded one is loaded', async (t) => {
  const database = await migratedDatabase();
  const shop = openShop(t);
  const { ino } = statSync(shop.put('a.csv', eventFile(0, 5)));
  await load(shop, database);
  // Whether a free inode is given to the next file is the file system's affair: this one is used again for sure.
  const archived = pathIn(shop.settings.archiveDir, 'a.csv');
  writeFileSync(archived, eventFile(5, 10));
  const again = path.join(shop.settings.inputDir, 'b.csv');
  renameSync(archived, again);
  assert.equal(statSync(again).ino, ino);
  await load(shop, database);
  assert.equal((await eventIds(database)).length, 10);
  await assertLedger(database);
});

test(
  'a file that is loaded when archive/ is full stays, is reported, and is only disposed of once there is room',
  { skip: noMount },
  async (t) => {
    const database = await migratedDatabase();
    const shop = openShop(t, { batchBytes: 1024 });
    await withFileSystem(shop.settings.archiveDir, 'size=64k', async () => {
      const ballast = path.join(shop.settings.archiveDir, 'ballast');
      writeFileSync(ballast, Buffer.alloc(60 * 1024));
      shop.put('a.csv', eventFile(0, 100));
      await assert.rejects(load(shop, database), { exitCode: 74, message: /ENOSPC|no space/i });
      assert.deepEqual(
        [readdirSync(shop.settings.inputDir), namesIn(shop.settings.archiveDir)],
        [['a.csv'], ['ballast']],
      );
      assert.equal((await eventIds(database)).length, 100);
      unlinkSync(ballast);
      const { rows, filesRedelivered } = await load(shop, database);
      assert.deepEqual([rows.read, filesRedelivered], [0, 0]);
      assert.deepEqual(
        [existsSync(path.join(shop.settings.inputDir, 'a.csv')), namesIn(shop.settings.archiveDir)],
        [false, ['a.csv']],
      );
      assert.equal((await eventIds(database)).length, 100);
      await assertLedger(database);
    });
  },
);
