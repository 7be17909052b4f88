import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createRandom, type Random } from '../../scripts/torture/random.js';
import type { Progress } from './progress.js';
import type { Dataset } from './workspace.js';

/** Bump when the bytes change. */
const VERSION = 1;
const HEADER = 'event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session';
/** What the feed fills, in the order of the canonical file. */
export const CANONICAL_COLUMNS =
  'event_id,event_type,event_time,user_id,session_id,product_id,brand,category,price,currency,quantity,order_id';
/** The same columns as another shop would call them. */
const OTHER_NAMES = 'id,kind,at,customer,visit,sku,maker,department,amount,money,pieces,basket';

/** The same rows in the shapes that are compared. */
export interface Rees46 {
  readonly source: Dataset;
  /** One row in a hundred has a price that is not a number, and no purchase has it. */
  readonly dirty: Dataset;
  readonly canonical: Dataset;
  readonly renamed: Dataset;
}

const SHAPES = ['source', 'dirty', 'canonical', 'renamed'] as const;

/** Rows of the shape of REES46's files, invented, and the same rows as the feed makes them, made once and kept in the cache. */
export async function rees46(cacheDir: string, progress: Progress, rows: number): Promise<Rees46> {
  const directory = path.join(cacheDir, 'data', `rees46-v${VERSION}-${rows}`);
  const fileOf = (shape: (typeof SHAPES)[number]): string => path.join(directory, `${shape}-rees46.csv`);
  const ready = path.join(directory, '.ready');
  if (!existsSync(ready)) {
    progress.step(`making ${rows.toLocaleString('en')} rows of REES46's shape`);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    await write(fileOf, rows);
    writeFileSync(`${ready}.part`, '');
    renameSync(`${ready}.part`, ready);
  }
  const dataset = (shape: (typeof SHAPES)[number]): Dataset => ({
    files: [fileOf(shape)],
    rows,
    bytes: statSync(fileOf(shape)).size,
  });
  return {
    source: dataset('source'),
    dirty: dataset('dirty'),
    canonical: dataset('canonical'),
    renamed: dataset('renamed'),
  };
}

async function write(fileOf: (shape: (typeof SHAPES)[number]) => string, rows: number): Promise<void> {
  const outputs = SHAPES.map((shape) => createWriteStream(fileOf(shape)));
  const headers = { source: HEADER, dirty: HEADER, canonical: CANONICAL_COLUMNS, renamed: OTHER_NAMES };
  let chunks = SHAPES.map((shape) => `${headers[shape]}\n`);
  const flush = async (): Promise<void> => {
    for (const [index, output] of outputs.entries()) if (!output.write(chunks[index])) await once(output, 'drain');
    chunks = SHAPES.map(() => '');
  };
  const random = createRandom(46);
  for (let n = 0; n < rows; n++) {
    const { source, canonical } = rowOf(n, random);
    const lines = [
      source.join(','),
      (n % 100 === 37 ? source.with(6, 'free') : source).join(','),
      canonical.join(','),
      canonical.join(','),
    ];
    chunks = chunks.map((chunk, index) => `${chunk}${lines[index]}\n`);
    if (n % 5000 === 0) await flush();
  }
  await flush();
  for (const output of outputs) {
    output.end();
    await once(output, 'finish');
  }
}

const BRANDS = ['samsung', 'apple', 'xiaomi', 'huawei', 'lucente', 'bosch', 'sony', ''] as const;
const CATEGORIES = ['electronics.smartphone', 'appliances.kitchen.washer', 'computers.notebook', ''] as const;
const START_MS = Date.UTC(2019, 9, 1);
const MS_PER_ROW = 60;

function rowOf(n: number, random: Random): { source: string[]; canonical: string[] } {
  const kind = random.next();
  const type = kind < 0.94 ? 'view' : kind < 0.98 ? 'cart' : 'purchase';
  // REES46's times are whole seconds; the number of the row makes each record another one.
  const at = new Date(START_MS + n * MS_PER_ROW).toISOString().slice(0, 19).replace('T', ' ');
  const product = String(random.between(1_000_000, 60_000_000));
  const category = random.pick(CATEGORIES);
  const brand = random.pick(BRANDS);
  const price = (random.between(100, 250_000) / 100).toFixed(2);
  const user = String(512_000_000 + random.between(0, 200_000));
  const digest = createHash('sha256').update(String(n)).digest('hex');
  const session = uuidOf(digest, '4');
  const time = START_MS + Math.floor((n * MS_PER_ROW) / 1000) * 1000;
  const id = uuidOf(`${time.toString(16).padStart(12, '0')}${digest.slice(12)}`, '8');
  const isPurchase = type === 'purchase';
  return {
    source: [`${at} UTC`, type, product, '2053013555631882655', category, brand, price, user, session],
    canonical: [
      id,
      { view: 'view_item', cart: 'add_to_cart', purchase: 'purchase' }[type],
      `${at.replace(' ', 'T')}Z`,
      user,
      session,
      product,
      brand,
      category,
      price,
      'USD',
      type === 'view' ? '' : '1',
      isPurchase ? session : '',
    ],
  };
}

function uuidOf(hex: string, version: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${version}${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
