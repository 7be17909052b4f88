import { EXIT } from '../core/runtime/errors.js';
import { defineCommand } from './command.js';
import { databaseSettings, streamSettings } from './settings.js';

/** Only matters where the system doesn't tell about new files (network file systems). */
const POLL_INTERVAL_MS = 1000;

export const stream = defineCommand({
  name: 'stream',
  summary: 'load processing/ into PostgreSQL, exactly once',
  settings: { ...databaseSettings, ...streamSettings },
  examples: [
    ['ecompipe stream', 'load files as they come until stopped'],
    ['ecompipe stream --once', 'load what is there and exit (for cron)'],
    ['ecompipe stream --once --strict --max-rejected 1%', 'and fail when rows are rejected'],
  ],
  run: async ({ once, strict, ...settings }, context) => {
    const [{ withDatabase }, { ensureSchema }, { runStream }, { createStreamEventLogger }, { describeStream }] = await Promise.all([
      import('../core/db/target.js'),
      import('../pipeline/migrate/schema.js'),
      import('../pipeline/stream/stream.js'),
      import('../pipeline/stream/logEvents.js'),
      import('../pipeline/stream/describe.js'),
    ]);
    const { log, stop } = context;
    const drain = once ? AbortSignal.abort() : new AbortController().signal;
    const result = await withDatabase(settings, context, async (database) => {
      await ensureSchema(database, context);
      return await runStream({ ...settings, pollIntervalMs: POLL_INTERVAL_MS }, database, { stop, drain, log, emit: createStreamEventLogger(log) });
    });
    const hasRejects = result.rows.rejected + result.filesQuarantined > 0;
    const exitCode = once && stop.aborted ? EXIT.interrupted : strict && hasRejects ? EXIT.rowsRejected : EXIT.done;
    return { json: result, text: describeStream(result), exitCode };
  },
});
