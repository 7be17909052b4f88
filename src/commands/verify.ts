import path from 'node:path';
import { EXIT } from '../platform/errors.js';
import * as parse from '../platform/parsers.js';
import type { Setting } from '../platform/settings.js';
import { defineCommand } from './command.js';
import { databaseSettings } from './settings.js';
import { generateSettings } from '../pipeline/generate/settingsTable.js';
import { incomingDir, processingDir } from '../contract/directorySettings.js';
import { loadSettings } from '../pipeline/stream/settingsTable.js';

const allowPending: Setting<boolean> = {
  flag: '--allow-pending',
  env: 'ECOMPIPE_ALLOW_PENDING',
  default: false,
  parse: parse.boolean,
  help: 'files that are not loaded yet do not count as a fault',
};

const ledger: Setting<boolean> = {
  flag: '--ledger',
  env: 'ECOMPIPE_VERIFY_LEDGER',
  default: false,
  parse: parse.boolean,
  help: 'compare the table with the ledger instead; needs no manifest, so it works for any files',
};

export const verify = defineCommand({
  name: 'verify',
  summary: "prove the table against the generator's manifest, or against the ledger",
  settings: {
    ...databaseSettings,
    manifestDir: {
      ...generateSettings.manifestDir,
      defaultText: '.manifest in INCOMING_PATH',
      help: 'where generate wrote its manifests; all of them count',
    },
    incomingDir: { ...incomingDir, help: 'where files may wait to be moved' },
    processingDir: { ...processingDir, help: 'where files may wait to be loaded' },
    archiveDir: { ...loadSettings.archiveDir, help: 'where loaded files lie; only read to name rows when sums differ' },
    quarantineDir: { ...loadSettings.quarantineDir, help: 'where unreadable files lie' },
    connections: { ...loadSettings.connections, help: 'connections that read the table at once' },
    allowPending,
    ledger,
  },
  examples: [
    ['ecompipe verify', 'all that was generated is in the table once, or exit 7 and what is not'],
    ['ecompipe verify --manifest /srv/manifests --json', 'as JSON, with up to a hundred examples'],
    ['ecompipe verify --allow-pending', 'while the pipeline is running'],
    ['ecompipe verify --ledger', 'finds deleted rows, TRUNCATE and restored backups, for any files'],
  ],
  run: async ({ incomingDir, processingDir, archiveDir, quarantineDir, manifestDir, ...settings }, context) => {
    const { onDatabase } = await import('./onConnection.js');
    const { log, stop } = context;
    if (settings.ledger) {
      const { describeLedgerProof, proveLedger } = await import('../pipeline/verify/ledgerProof.js');
      const proof = await onDatabase(settings, context, proveLedger);
      return { json: proof, text: describeLedgerProof(proof), exitCode: proof.ok ? EXIT.done : EXIT.checkFailed };
    }
    const [{ runVerify }, { createVerifyEventLogger, describeVerify }] = await Promise.all([
      import('../pipeline/verify/runVerify.js'),
      import('../pipeline/verify/describeVerify.js'),
    ]);
    const result = await onDatabase(settings, context, async (database) => {
      const { connections, allowPending } = settings;
      const places = {
        waitingDirs: [incomingDir, processingDir],
        loadedDirs: [archiveDir, processingDir, quarantineDir],
      };
      return await runVerify(
        { manifestDir: manifestDir ?? path.join(incomingDir, '.manifest'), ...places, connections, allowPending },
        database,
        { log, stop, emit: createVerifyEventLogger(log) },
      );
    });
    return { json: result, text: describeVerify(result), exitCode: result.ok ? EXIT.done : EXIT.checkFailed };
  },
});
