import { EXIT, UsageError } from '../platform/errors.js';
import { defineCommand, type CommandResult } from './command.js';
import { databaseSettings } from './settings.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';
import { processingDir } from '../contract/inputSettings.js';

const table = {
  ...databaseSettings,
  archiveDir: { ...loadSettings.archiveDir, help: 'where loaded files are; read to find the line' },
  processingDir: { ...processingDir, help: 'where files may still wait' },
} as const;

export const trace = defineCommand({
  name: 'trace',
  args: '<event-id>',
  summary: 'where an event came from: file, line, batch, duplicates, rejects',
  settings: table,
  examples: [
    ['ecompipe trace 0199c82c-c007-758f-8899-a702d5a25899', 'file, line and batch; exit 7 when the event is unknown'],
    ['ecompipe trace 0199c82c-c007-758f-8899-a702d5a25899 --json', 'as JSON, with all places'],
  ],
  run: async (settings, context): Promise<CommandResult> => {
    const [text = ''] = context.args;
    const plain = text.replace(/[-{}]/g, '').toLowerCase();
    if (!/^[0-9a-f]{32}$/.test(plain))
      throw new UsageError([`trace ${JSON.stringify(text)}: expected the UUID of an event`]);
    const eventId = plain.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    const [{ onConnection }, { traceEvent }, { describeTrace }] = await Promise.all([
      import('./onConnection.js'),
      import('../pipeline/trace/runTrace.js'),
      import('../pipeline/trace/describeTrace.js'),
    ]);
    const result = await onConnection(settings, context, 'cannot trace the event', (connection) =>
      traceEvent(connection, eventId, [settings.archiveDir, settings.processingDir]),
    );
    return { json: result, text: describeTrace(result), exitCode: result.known ? EXIT.done : EXIT.checkFailed };
  },
});
