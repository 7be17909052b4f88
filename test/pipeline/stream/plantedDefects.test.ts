import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../../platform/files/directories.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A mistake that this loader could have, planted into a copy of the sources, and the test that must see it. */
interface Defect {
  readonly edits: readonly Edit[];
  readonly seenBy: readonly [file: string, name: string];
}

/** The primary key of a file's ranges would still stop most of what the comparison stops: without either, nothing does. */
const NO_COMPARE_AND_SET: readonly Edit[] = [
  { file: 'ledger.ts', from: " and f.committed_offset = p.start_offset and f.state = 'loading'", to: '' },
  {
    file: 'ledger.ts',
    from: 'from part\n  ), advanced as (',
    to: 'from part\n    on conflict do nothing\n  ), advanced as (',
  },
];

const DEFECTS: Readonly<Record<string, Defect>> = {
  'the ledger is written outside the transaction': {
    // Only of batches without rejects: a foreign key would stop the others.
    edits: [
      {
        file: 'loadTransaction.ts',
        from: 'const ledger = ledgerOfEntered(entry);',
        to: "const ledger = ledgerOfEntered(entry);\n    if (put.counts.read === put.counts.inserted) await connection.client.query('commit; begin');",
      },
    ],
    seenBy: ['faults', 'when the reply to the COMMIT of a whole file without bad rows is lost, it is not loaded again'],
  },
  'a batch of files that were entered as loaded is not entered itself': {
    edits: [{ file: 'loadTransaction.ts', from: 'await commit(connection, ledger);', to: 'await commit(connection);' }],
    seenBy: ['faults', 'when the reply to the COMMIT of a whole file without bad rows is lost, it is not loaded again'],
  },
  'rows are given up on an SQLSTATE that nobody knows': {
    edits: [{ file: '../../../sql/005_judge.sql', from: "else 'unclear'", to: "else 'row'" }],
    seenBy: ['faults', 'an error that stays ends the run with exit code 69 after --retry-for, and no row is given up'],
  },
  'a conflict counts as a duplicate': {
    edits: [
      {
        file: '../../../sql/005_judge.sql',
        from: "case when cardinality(d.differing) = 0 then ''duplicate'' else ''conflict'' end as kind",
        to: "''duplicate'' as kind",
      },
    ],
    seenBy: [
      'rivals',
      'an event that comes again in a range which loads at the same time is a conflict, and the earlier row wins, with 1 connections',
    ],
  },
  'a checkpoint ahead of the ledger is believed': {
    edits: [
      {
        file: 'checkpoint.ts',
        from: 'if (checkpoint === undefined) return new Witness',
        to: 'return new Witness',
      },
    ],
    seenBy: [
      'checkpoint',
      'a checkpoint that is ahead of the ledger ends the start with exit code 6, and nothing is loaded',
    ],
  },
  'pruned events are not accounted for': {
    edits: [
      {
        file: '../prune/eventRows.ts',
        from: 'set rows_pruned = b.rows_pruned + g.rows',
        to: 'set rows_pruned = b.rows_pruned',
      },
    ],
    seenBy: ['../prune/prune', 'old events go, younger ones stay, and the ledger still proves the table'],
  },
  'a database that came back is taken for the one that went away': {
    edits: [{ file: 'connectionPool.ts', from: 'await this.onOpen(connection);', to: '' }],
    seenBy: [
      'lostCommits',
      'a database that lost commits under a running stream ends it with exit code 6, and the archive brings them back',
    ],
  },
  'a batch is known by its id alone': {
    edits: [{ file: 'witness.ts', from: 'and b.token = coalesce(w.token, b.token)', to: '' }],
    seenBy: ['lostCommits', 'a batch id that another loader used again after the loss does not hide it'],
  },
  'a server of another container is taken for one that has crashed': {
    edits: [{ file: '../../platform/db/embedded/server.ts', from: 'await holdData(cluster, log, signal);', to: '' }],
    seenBy: [
      '../../platform/db/embeddedHolder',
      'data that a server elsewhere uses is refused at its first sign of life, also by db stop, and nothing is touched',
    ],
  },
  'each batch skips a header': {
    edits: [{ file: 'ranges.ts', from: 'Math.max(startOffset, header.length)', to: 'startOffset + header.length' }],
    seenBy: ['files', 'a load that was stopped goes on with other batch sizes and connections where the ledger stands'],
  },
  'a file is known by its name': {
    edits: [{ file: 'content.ts', from: "hash('sha256', delivered, 'buffer')", to: "hash('sha256', path, 'buffer')" }],
    seenBy: [
      'files',
      'the same content under another name is noted whole and not loaded, other content under the same name is',
    ],
  },
  'whatever has the name of a loaded file is disposed of': {
    edits: [
      {
        file: 'fileDisposer.ts',
        from: 'stats !== undefined && fileStampOf(stats) === fileStamp',
        to: 'stats !== undefined && fileStamp.length > 0',
      },
    ],
    seenBy: ['files', 'a file that takes the name of one being loaded in ranges is not disposed of unread by delete'],
  },
  'a lost compare-and-set passes for a fault of the database': {
    edits: [
      {
        file: 'ledger.ts',
        from: "export class CompareAndSetLost extends Error {\n  override readonly name = 'CompareAndSetLost';",
        to: "import { TransientError } from '../../platform/db/sqlState.js';\nexport class CompareAndSetLost extends TransientError {",
      },
    ],
    seenBy: ['rivals', 'two streams that meet on a file of many ranges load it once between them'],
  },
  'an error of our own passes for an outage': {
    edits: [
      {
        file: '../../platform/db/sqlState.ts',
        from: "return isCertificateError(error) ? 'fatal' : 'bug';",
        to: "return isCertificateError(error) ? 'fatal' : 'retry';",
      },
    ],
    seenBy: [
      'bugs',
      'an error of our own in the middle of a batch ends the stream at once with exit code 1, and is not called an outage',
    ],
  },
  'the checkpoint is written before the commit is sure': {
    edits: [
      {
        file: 'resultRecorder.ts',
        from: 'if (isDurable) this.checkpoint',
        to: 'if (isDurable || batchId > 0) this.checkpoint',
      },
    ],
    seenBy: [
      'databaseFaults',
      'commits that a crash of the server takes back are not in the checkpoint, and are loaded again',
    ],
  },
  'a range is committed without compare-and-set': {
    edits: [...NO_COMPARE_AND_SET],
    seenBy: ['faults', 'when the reply to the COMMIT of a range without bad rows is lost, it is not loaded again'],
  },
  'files whose COMMIT got no reply are loaded again without a look at the ledger': {
    edits: [
      ...NO_COMPARE_AND_SET,
      {
        file: 'loadBatch.ts',
        from: "(file?.state === 'loading' && file.committedOffset === part.startOffset ? file.fileId : undefined)",
        to: 'file?.fileId',
      },
    ],
    seenBy: ['faults', 'when the reply to the COMMIT of a whole file without bad rows is lost, it is not loaded again'],
  },
  'rows are copied of a file that the ledger knows': {
    edits: [
      {
        file: 'openWithRows.ts',
        from: 'if (entered.length < parts.length) throw new FilesKnown(SOME_KNOWN);',
        to: '',
      },
    ],
    seenBy: ['openWithRows', 'a file that comes again is not loaded again, whatever became of its rows'],
  },
  'a batch is not noted as an attempt of ours': {
    edits: [{ file: 'loadTransaction.ts', from: 'load.onAttempt(batchId, token);', to: '' }],
    seenBy: ['openWithRows', 'a small file whose COMMIT got no reply counts as loaded by this stream, in one batch'],
  },
  'a file is known by its inode': {
    edits: [
      {
        file: 'content.ts',
        from: "hash('sha256', delivered, 'buffer')",
        to: "hash('sha256', `${stats.dev}:${stats.ino}`, 'buffer')",
      },
    ],
    seenBy: ['fileBehaviour', 'a file that gets the inode of a loaded one is loaded'],
  },
  'a bad row takes its neighbours along': {
    edits: [
      {
        file: '../../../sql/012_judge_speed.sql',
        from: "if ecompipe.blames(sqlstate) = 'server' then raise; end if; end; end if; if plan.key_columns",
        to: 'raise; end; end if; if plan.key_columns',
      },
    ],
    seenBy: [
      'accepts',
      'a row that breaks a check of the user that fails to compute is rejected, and its neighbours are loaded',
    ],
  },
};

/** Finds a piece of code however a formatter has laid it out: line breaks, indentation and trailing commas don't count. */
function anyLayout(code: string): RegExp {
  const tokens = code.match(/\w+|[^\s\w]/g) ?? [];
  const parts = tokens.map((token) => {
    const escaped = token.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    if (token === "'" || token === '"') return `['"]`;
    return ')]}'.includes(token) ? `,?\\s*${escaped}` : escaped;
  });
  return new RegExp(parts.join('\\s*'));
}

/** A copy of sources and tests with the defect in it; fails when the sources no longer have the place. */
function plant(directory: string, edits: readonly Edit[]): void {
  for (const name of ['src', 'test', 'sql', 'package.json', 'tsconfig.json'])
    cpSync(path.join(ROOT, name), path.join(directory, name), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(directory, 'node_modules'));
  for (const { file, from, to } of edits) {
    const target = path.join(directory, 'src/pipeline/stream', file);
    const source = readFileSync(target, 'utf8');
    const places = source.split(anyLayout(from));
    assert.equal(places.length, 2, `${file} has the place once`);
    writeFileSync(target, places.join(to));
  }
  // Tests that start the executable get one that runs the copy.
  for (const name of ['bin', 'dist']) mkdirSync(path.join(directory, name));
  writeFileSync(
    path.join(directory, 'bin/ecompipe.js'),
    "import { register } from 'tsx/esm/api';\nregister();\nawait import('../src/cli.ts');\n",
  );
  writeFileSync(path.join(directory, 'dist/built'), '');
}

/** Runs one test of the copy; says whether it passed. */
async function passes(directory: string, [file, name]: Defect['seenBy']): Promise<boolean> {
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const pattern = `^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
  const child = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      '--test',
      '--test-reporter=tap',
      '--test-timeout=200000',
      `--test-name-pattern=${pattern}`,
      `test/pipeline/stream/${file}.test.ts`,
    ],
    { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  await once(child, 'close');
  // A red test keeps its databases; here red is what is wanted.
  for (const [, data] of output.matchAll(/kept the databases of this test process: (\S+)\/data /g))
    if (data !== undefined) rmSync(data, { recursive: true, force: true, maxRetries: 50 });
  const verdict = output
    .split('\n')
    .find((line) => line.trim().replace(/^(not )?ok \d+ - /, '') === name && /^\s*(not )?ok /.test(line));
  assert.ok(verdict !== undefined, `the test ran: ${output}`);
  return verdict.trim().startsWith('ok');
}

describe('a planted defect turns its test red', { concurrency: 2 }, () => {
  for (const [what, { edits, seenBy }] of Object.entries(DEFECTS)) {
    test(`when ${what}`, { timeout: 300_000 }, async (t) => {
      const directory = temporaryDirectory(t);
      plant(directory, edits);
      assert.equal(await passes(directory, seenBy), false);
    });
  }
});

// One that runs in its own process, and one that starts the executable of the copy.
for (const what of [
  'a checkpoint ahead of the ledger is believed',
  'the checkpoint is written before the commit is sure',
]) {
  test(`the test that sees that ${what} is green without the defect`, { timeout: 300_000 }, async (t) => {
    const directory = temporaryDirectory(t);
    plant(directory, []);
    assert.equal(await passes(directory, DEFECTS[what]!.seenBy), true);
  });
}
