import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ours, rival } from '../contenders/ours.js';
import { findDlt } from '../contenders/dlt.js';
import { psqlVersion, runScript } from '../contenders/psql.js';
import { CANONICAL_COLUMNS, rees46 } from '../harness/rees46.js';
import { goal, scaled, type Bench, type Question } from '../harness/question.js';
import { describeRates, measureRounds, perSecond, type Contender } from '../harness/rounds.js';

const ROWS = 1_000_000;
const CANONICAL = 'the same rows as canonical CSV';
const STAGED = 'the feed, staged';
const DIRTY = 'the feed, 1 % bad rows';
const RENAMED = 'other names only, by COPY';
const PSQL = 'psql by hand';
const DLT = 'dlt';

/** All that a feed of delimited files can say, on REES46's columns. */
const FEED = `match: ["source-rees46.csv", "dirty-rees46.csv"]
format:
  type: csv
  delimiter: ","
  quote: '"'
  header: true
  encoding: utf-8
  null: [""]
  skip: 0
unknown: ignore
table: public.events
columns:
  event_id: { derive: [event_time, event_type, product_id, user_id, user_session], repeats: same }
  event_type: { from: event_type, map: { view: view_item, cart: add_to_cart }, otherwise: keep }
  event_time: { from: event_time, time: "YYYY-MM-DD HH24:MI:SS", zone: UTC }
  user_id: user_id
  session_id: user_session
  product_id: product_id
  brand: brand
  category: category_code
  price: price
  currency: { value: USD }
  quantity: { sql: "case when event_type <> 'view' then 1 end" }
  order_id: { sql: "case when event_type = 'purchase' then user_session end" }
where: "event_type <> 'internal'"
`;

const RENAMES = `match: "renamed-rees46.csv"
columns: { event_id: id, event_type: kind, event_time: at, user_id: customer, session_id: visit, product_id: sku, brand: maker, category: department, price: amount, currency: money, quantity: pieces, order_id: basket }
`;

/** What a person would write who knows the feed's expressions. */
const BY_HAND = (file: string): string => `begin;
create temporary table stage (event_time text, event_type text, product_id text, category_id text, category_code text, brand text, price text, user_id text, user_session text) on commit drop;
\\copy stage from '${file}' with (format csv, header true)
insert into public.events (${CANONICAL_COLUMNS})
select ecompipe.derive_id(to_timestamp(event_time, 'YYYY-MM-DD HH24:MI:SS'), 'by-hand', array[event_time, event_type, product_id, user_id, user_session]),
       case event_type when 'view' then 'view_item' when 'cart' then 'add_to_cart' else event_type end,
       to_timestamp(event_time, 'YYYY-MM-DD HH24:MI:SS'), user_id, user_session, product_id, brand, category_code, price::numeric, 'USD',
       case when event_type <> 'view' then 1 end, case when event_type = 'purchase' then user_session end
from stage where event_type <> 'internal'
on conflict do nothing;
commit;
`;

export const feeds: Question = {
  name: 'feeds',
  title: 'Files that need a feed',
  run: async (bench) => {
    const rows = scaled(bench, ROWS, 20_000);
    const data = await rees46(bench.workspace.cacheDir, bench.progress, rows);
    const bad = Math.floor((rows + 62) / 100);
    const args = ['--feeds', writeFeeds(bench), '--connections', '2'];
    const dlt = findDlt(bench.workspace.cacheDir);
    const contenders: Contender[] = [
      ours(bench, data.canonical, rows, CANONICAL, { args }),
      ours(bench, data.source, rows, STAGED, { args }),
      ours(bench, data.renamed, rows, RENAMED, { args }),
      ours(bench, data.dirty, rows - bad, DIRTY, { args }),
      ...(psqlVersion === undefined
        ? []
        : [rival(bench, PSQL, data.source, ([file]) => runScript(bench.database, BY_HAND(file!)))]),
      ...(dlt === undefined ? [] : [dltContender(bench, dlt, data.source.files[0]!, rows)]),
    ];
    const results = await measureRounds(bench, contenders);
    const ratio = (name: string, to: string, what = 'load'): number | undefined => results.ratio(name, what, to);
    return {
      settings: [
        `${rows.toLocaleString('en')} invented rows of REES46's shape in one file, ${Math.round(data.source.bytes / rows)} bytes each; the feed derives ids, maps, reads times by a pattern, computes, and has a \`where:\`; two connections.`,
        `The canonical file holds the rows that the feed makes, ${Math.round(data.canonical.bytes / rows)} bytes each. Loading: from the first look at the directory to the last commit; else whole processes.`,
        `${PSQL}: \`\\copy\` into a temporary table and one \`insert … select … on conflict do nothing\` of the same expressions; ${psqlVersion ?? 'not installed'}.`,
        `${DLT}: ${dlt === undefined ? 'not installed (`npm run bench -- feeds --install-rivals`)' : `${dlt.version}, the same columns by arrow, loaded as CSV into a table of its own without key and constraints`}.`,
      ],
      header: ['way', 'median', 'all runs', 'the staged feed is'],
      rows: contenders.flatMap(({ name }) => {
        const isOurs = name !== PSQL && name !== DLT;
        const what = isOurs ? 'load' : 'wall';
        const times = ratio(STAGED, name, what)?.toFixed(2) ?? '?';
        return [
          [
            `${name}, ${isOurs ? 'loading' : 'whole process'}`,
            ...describeRates(results.values(name, what), 'rows/s'),
            name === STAGED ? '' : `${times} ×`,
          ],
        ];
      }),
      profile:
        "of the server's time for the staged feed, the one `insert … select` with all its expressions is 80 %, and COPY into the stage 14 % (pg_stat_statements); with bad rows come looking ahead and an insert row by row, as in the question about dirty rows.",
      goals: [
        goal('staged, loading:', ratio(STAGED, CANONICAL), '>=', 0.6, '× the canonical file'),
        goal('staged, whole process:', ratio(STAGED, PSQL, 'wall'), '>=', 1.5, `× ${PSQL}`),
        goal('staged, whole process:', ratio(STAGED, DLT, 'wall'), '>=', 3, `× ${DLT}`),
        goal('other names only, loading:', ratio(RENAMED, CANONICAL), '>=', 0.97, '× the canonical file'),
        goal('1 % bad rows, loading:', ratio(DIRTY, STAGED), '>=', 0.6, '× the clean staged rate'),
      ],
    };
  },
};

function writeFeeds({ workspace }: Bench): string {
  const directory = path.join(workspace.cacheDir, 'feeds');
  mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(directory, 'rees46.yaml'), FEED);
  writeFileSync(path.join(directory, 'renamed.yaml'), RENAMES);
  return directory;
}

function dltContender(
  bench: Bench,
  dlt: NonNullable<ReturnType<typeof findDlt>>,
  file: string,
  expected: number,
): Contender {
  return {
    name: DLT,
    prepare: () => bench.database.reset(),
    run: async () => {
      const { durationMs, rows } = await dlt.load(bench.database, file);
      if (rows !== expected) throw new Error(`${DLT} loaded ${rows} rows, expected ${expected}`);
      return { wall: perSecond(expected, durationMs) };
    },
  };
}
