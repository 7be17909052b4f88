import type { AnyCommand } from './command.js';
import { completion } from './completion.js';
import { dashboard } from './dashboard.js';
import { db } from './db.js';
import { failpoints } from './failpoints.js';
import { feeds } from './feeds.js';
import { generate } from './generate.js';
import { migrate } from './migrate.js';
import { move } from './move.js';
import { prune } from './prune.js';
import { rejects } from './rejects.js';
import { runAll } from './runAll.js';
import { spark } from './spark.js';
import { status } from './status.js';
import { stream } from './stream.js';
import { trace } from './trace.js';
import { undo } from './undo.js';
import { verify } from './verify.js';

/** All commands, in the order of `--help`. */
export const commands: readonly AnyCommand[] = [
  generate,
  move,
  stream,
  migrate,
  runAll,
  dashboard,
  status,
  verify,
  rejects,
  trace,
  undo,
  prune,
  feeds,
  spark,
  db,
  completion,
  failpoints,
];
