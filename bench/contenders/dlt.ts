import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BenchDatabase } from '../harness/database.js';
import { runProgram, versionOf } from './program.js';

const DATASET = 'dlt_bench';

/**
 * The same columns by arrow, as dlt's documentation has it for tables that are large (dlt docs, "Optimizing dlt"), through
 * files that the server reads by COPY: the fastest that it offers for PostgreSQL.
 */
const SCRIPT = `
import os, sys
import dlt, pyarrow as pa, pyarrow.compute as pc
from pyarrow import csv

TEXTS = dict.fromkeys(['event_time', 'event_type', 'product_id', 'category_code', 'brand', 'user_id', 'user_session'], pa.string())

def events():
    reader = csv.open_csv(sys.argv[1], convert_options=csv.ConvertOptions(column_types={**TEXTS, 'price': pa.decimal128(12, 2)}))
    for batch in reader:
        get = batch.column
        kind = get('event_type')
        is_view, is_purchase = pc.equal(kind, 'view'), pc.equal(kind, 'purchase')
        none = pa.scalar(None, pa.string())
        yield pa.table({
            'event_id': pc.binary_join_element_wise(*[get(name) for name in ('event_time', 'event_type', 'product_id', 'user_id', 'user_session')], '/'),
            'event_type': pc.if_else(is_view, 'view_item', pc.if_else(pc.equal(kind, 'cart'), 'add_to_cart', kind)),
            'event_time': pc.assume_timezone(pc.strptime(pc.utf8_slice_codeunits(get('event_time'), 0, 19), '%Y-%m-%d %H:%M:%S', 'us'), 'UTC'),
            'user_id': get('user_id'),
            'session_id': get('user_session'),
            'product_id': get('product_id'),
            'brand': get('brand'),
            'category': get('category_code'),
            'price': get('price'),
            'currency': pa.repeat('USD', batch.num_rows),
            'quantity': pc.if_else(is_view, pa.scalar(None, pa.int64()), pa.scalar(1, pa.int64())),
            'order_id': pc.if_else(is_purchase, get('user_session'), none),
        })

pipeline = dlt.pipeline('ecompipe_bench', pipelines_dir=sys.argv[2], destination=dlt.destinations.postgres(os.environ['BENCH_URL']), dataset_name='${DATASET}')
pipeline.run(dlt.resource(events, name='events'), write_disposition='append', loader_file_format='csv')
`;

/** Where `--install-rivals` puts it. */
export const venvOf = (cacheDir: string): string => path.join(cacheDir, 'rivals/dlt');

export interface Dlt {
  readonly version: string;
  /** Loads a file of REES46's shape into a table of dlt's own making. @returns milliseconds, and the rows that are there then. */
  readonly load: (database: BenchDatabase, file: string) => Promise<{ durationMs: number; rows: number }>;
}

/** dlt (PyPI) in bench/.cache; undefined when it isn't installed. */
export function findDlt(cacheDir: string): Dlt | undefined {
  const venv = venvOf(cacheDir);
  const python = path.join(venv, 'bin/python');
  if (!existsSync(path.join(venv, 'bin/dlt'))) return undefined;
  return {
    version: versionOf(path.join(venv, 'bin/dlt'), ['--version']),
    load: async (database, file) => {
      const work = path.join(venv, 'work');
      rmSync(work, { recursive: true, force: true });
      mkdirSync(work, { recursive: true });
      const script = path.join(work, 'load.py');
      writeFileSync(script, SCRIPT);
      const durationMs = await runProgram(python, [script, file, path.join(work, 'pipelines')], {
        HOME: work,
        BENCH_URL: database.env['DATABASE_URL'],
        RUNTIME__DLTHUB_TELEMETRY: 'false',
        RUNTIME__LOG_LEVEL: 'ERROR',
      });
      const [counted] = await database.query<{ rows: number }>(`select count(*)::int4 as rows from ${DATASET}.events`);
      return { durationMs, rows: counted?.rows ?? 0 };
    },
  };
}
