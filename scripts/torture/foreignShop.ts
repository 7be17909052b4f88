import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestDatabase } from '../../test/helpers/postgres.js';
import type { Random } from './random.js';

/** A staged feed by which a record's number decides its ids: repeats of their own, several rows a record, records left out. */
const FEED = `match: "foreign-*.txt"
format: { delimiter: ";", encoding: latin1, header: [at, file, what, items] }
where: "what <> 'heartbeat'"
rows: "string_to_table(items, '+') as item"
columns:
  event_id: { derive: [at, file, what, { sql: item }], repeats: distinct }
  event_type: { from: what, map: { look: view_item } }
  event_time: { from: at, time: "DD.MM.YYYY HH24:MI" }
  user_id: { value: "J\u00fcrgen" }
  session_id: file
  product_id: { sql: item }
`;

export const FOREIGN_MATCH = 'foreign-*.txt';

interface Told {
  rows: number;
  rejected: number;
  skipped: number;
}

/** When its events were. Every fourth file is of long ago, and none of it is skipped. */
const [NEW, OLD] = ['22.11.2026', '22.11.2020'] as const;
const OLD_EVERY = 4;

/** Arguments of `prune` that remove the events of old files, whenever they are loaded, and no others. */
export const PRUNE_OLD = ['--events', '--older-than', `${Math.floor((Date.now() - Date.UTC(2022, 0)) / 86_400_000)}d`];

/** What became of the files of the shop without converters. */
export interface ForeignProof {
  readonly files: number;
  readonly rows: number;
  readonly rejected: number;
  readonly skipped: number;
  /** Rows that are old, and so were pruned after they were loaded. */
  readonly pruned: number;
  readonly problems: readonly string[];
}

/** A shop that writes files of a shape of its own, now and then one again under another name, and knows what must become of each. */
export class ForeignShop {
  readonly feedsDir: string;
  private readonly told = new Map<string, Told>();
  private readonly old = new Set<string>();
  private readonly timer: NodeJS.Timeout;
  private written = 0;

  constructor(
    home: string,
    private readonly incoming: string,
    private readonly random: Random,
  ) {
    this.feedsDir = path.join(home, 'feeds');
    mkdirSync(this.feedsDir);
    writeFileSync(path.join(this.feedsDir, 'foreign.yaml'), FEED);
    this.timer = setInterval(() => this.deliver(), 300);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private deliver(): void {
    const file = `f${this.told.size}`;
    const told: Told = { rows: 0, rejected: 0, skipped: 0 };
    if (this.told.size % OLD_EVERY === OLD_EVERY - 1) this.old.add(file);
    const size = this.random.next() < 0.05 ? this.random.between(1000, 4000) : this.random.between(1, 200);
    const records = Array.from({ length: size }, () => this.record(file, told));
    const bytes = Buffer.from(records.join(''), 'latin1');
    this.told.set(file, told);
    this.publish(bytes);
    if (this.random.next() < 0.1) this.publish(bytes);
  }

  private publish(bytes: Buffer): void {
    const name = `foreign-${this.written++}.txt`;
    writeFileSync(path.join(this.incoming, `.${name}`), bytes);
    renameSync(path.join(this.incoming, `.${name}`), path.join(this.incoming, name));
  }

  private record(file: string, told: Told): string {
    const kind = this.random.next();
    const day = this.old.has(file) ? OLD : NEW;
    if (kind < 0.05 && day === NEW) {
      told.skipped++;
      return `${day} 10:00;${file};heartbeat;x\n`;
    }
    if (kind < 0.06) {
      told.rejected++;
      return `${day} 10:00;${file};steal;x\n`;
    }
    if (kind < 0.07) {
      told.rejected++;
      return `${day} 10:00;${file};look\n`;
    }
    const items = this.random.between(1, 3);
    told.rows += items;
    return `${day} 10:0${this.random.between(0, 1)};${file};look;${Array.from({ length: items }, () => 'sh\xf6e').join('+')}\n`;
  }

  /** Compares table and ledger with what was delivered, once the old events were pruned. */
  async prove(database: TestDatabase): Promise<ForeignProof> {
    const loaded = await database.query<{ file: string; rows: number }>(
      `select session_id as file, count(*)::int4 as rows from public.events where user_id = 'J\u00fcrgen' group by 1`,
    );
    const found = new Map(loaded.map(({ file, rows }) => [file, rows]));
    const problems = [...this.told]
      .map(([file, { rows }]) => ({ file, rows: this.old.has(file) ? 0 : rows, there: found.get(file) ?? 0 }))
      .filter(({ rows, there }) => rows !== there)
      .map(({ file, rows, there }) => `of ${file} there should be ${rows} rows, and there are ${there}`);
    // Of files without events the ledger keeps what they had, and not their batches.
    const [ledger] = await database.query<Told>(
      `select coalesce(sum(rows_rejected), 0)::int4 as rejected, coalesce(sum(rows_inserted), 0)::int4 as rows,
              (select coalesce(sum(records_skipped), 0)::int4 from ecompipe.batches where feed_id is not null) as skipped
       from ecompipe.files where name like '${FOREIGN_MATCH.replace('*', '%')}'`,
    );
    const sum = { rows: 0, rejected: 0, skipped: 0 };
    for (const each of this.told.values())
      for (const key of ['rows', 'rejected', 'skipped'] as const) sum[key] += each[key];
    for (const key of ['rows', 'rejected', 'skipped'] as const)
      if (ledger?.[key] !== sum[key])
        problems.push(`the feed's files should have ${sum[key]} ${key}, and have ${ledger?.[key]}`);
    const pruned = [...this.old].reduce((rows, file) => rows + (this.told.get(file)?.rows ?? 0), 0);
    return { files: this.told.size, ...sum, pruned, problems };
  }
}
