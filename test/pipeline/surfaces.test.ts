import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../src/platform/log.js';
import { ReadOnlyClient } from '../../src/platform/db/readOnlyClient.js';
import type { Database } from '../../src/platform/db/target.js';
import { SnapshotFeed } from '../../src/pipeline/dashboard/feed.js';
import { createMetrics } from '../../src/pipeline/metrics/metrics.js';
import type { PipelineEvent } from '../../src/pipeline/pipelineEvents.js';
import { createPipelineState, recordPipeline } from '../../src/pipeline/pipelineState.js';
import { runAll, type StagesSettings } from '../../src/pipeline/runAll.js';
import { readStatus } from '../../src/pipeline/status/runStatus.js';
import { statusJson } from '../../src/pipeline/status/describeStatus.js';
import { describeSummary, summarize } from '../../src/pipeline/summary.js';
import { createPipeline, type Pipeline } from './verify/pipeline.js';

const DIRT = 'wrong-type=3%,redelivery=3%,redelivered-file=0.3,unknown-column=0.2';
const never = new AbortController().signal;

function settingsOf({ home, incoming, processing, archive }: Pipeline): StagesSettings {
  return {
    generate: {
      outputDir: incoming,
      intervalSeconds: 0,
      events: 4000,
      batchSize: 200,
      seed: 7,
      start: '2026-03-01T00:00:00Z',
      products: 500,
      dirt: DIRT,
    },
    move: { from: incoming, to: processing, settleMs: 0, pollIntervalMs: 1000 },
    stream: {
      inputDir: processing,
      connections: 2,
      batchBytes: 20_000,
      afterLoad: 'archive',
      archiveDir: archive,
      quarantineDir: path.join(home, 'quarantine'),
      checkpointDir: path.join(home, 'checkpoints'),
      maxRejected: undefined,
      atomicFile: false,
      pollIntervalMs: 1000,
    },
    untilDrained: true,
  };
}

/** Runs everything as `run-all` does, with all who listen to it. */
async function runWatched(pipeline: Pipeline, database: Database) {
  const state = createPipelineState(performance.now());
  const directories = { incoming: pipeline.incoming, processing: pipeline.processing };
  const metrics = createMetrics({ command: 'run-all', stages: state.stages, directories, ofProcess: false });
  const record = recordPipeline(state, silentLogger);
  const emit = (event: PipelineEvent): void => {
    record(event);
    metrics.observe(event);
  };
  const settings = settingsOf(pipeline);
  const result = await runAll(settings, database, { stop: never, log: silentLogger, emit });
  const places = { waitingDirs: [pipeline.incoming, pipeline.processing], loadedDirs: [pipeline.archive] };
  const summary = await summarize(
    result,
    database,
    { prove: 'nothing', elapsedMs: 1000, files: state.files, places },
    { log: silentLogger, stop: never },
  );
  return { state, metrics, summary };
}

interface Figures {
  readonly inserted: number;
  readonly duplicate: number;
  readonly rejected: number;
  readonly loadedFiles: number;
  readonly quarantinedFiles: number;
  readonly redeliveries: number;
}

async function tablesOf({ database }: Pipeline): Promise<Figures> {
  const [tables] = await database.query<{ [Key in keyof Figures]: Figures[Key] }>(`select
    (select count(*)::int from events) as inserted,
    (select count(*)::int from ecompipe.duplicate_rows) as duplicate,
    (select count(*)::int from ecompipe.rejected_rows) as rejected,
    (select count(*)::int from ecompipe.files where state = 'loaded') as "loadedFiles",
    (select count(*)::int from ecompipe.files where state = 'quarantined') as "quarantinedFiles",
    (select count(*)::int from ecompipe.redeliveries) as redeliveries`);
  return { ...tables! };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const filesIn = (directory: string): number => readdirSync(directory).filter((name) => name.endsWith('.csv')).length;

test('after a dirty run with redeliveries panel, metrics, status, dashboard and summary say what the tables hold', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.target(async (database) => {
    const { state, metrics, summary } = await runWatched(pipeline, database);
    // Somebody else's files, that nobody has moved or loaded yet: the backlog is what the directories say.
    for (const [directory, count] of [
      [pipeline.incoming, 3],
      [pipeline.processing, 2],
    ] as const)
      for (let index = 0; index < count; index++) writeFileSync(path.join(directory, `other-${index}.csv`), 'x\n');
    const tables = await tablesOf(pipeline);
    assert.ok(
      Object.values(tables).every((count) => count > 0),
      JSON.stringify(tables),
    );

    const { figures } = state.stages.stream;
    const panel: Figures = {
      inserted: figures.rows.inserted,
      duplicate: figures.rows.duplicate,
      rejected: figures.rows.rejected,
      loadedFiles: figures.filesLoaded,
      quarantinedFiles: figures.filesQuarantined,
      redeliveries: figures.filesRedelivered,
    };
    assert.deepEqual(panel, tables, 'the panel');

    const text = await metrics.registry.metrics();
    const metric = (name: string, outcome: string): number =>
      Number(new RegExp(`^ecompipe_${name}_total\\{outcome="${outcome}".*\\} (\\d+)$`, 'm').exec(text)?.[1]);
    const measured: Figures = {
      inserted: metric('rows', 'inserted'),
      duplicate: metric('rows', 'duplicate'),
      rejected: metric('rows', 'rejected'),
      loadedFiles: metric('files', 'loaded'),
      quarantinedFiles: metric('files', 'quarantined'),
      redeliveries: metric('files', 'redelivered'),
    };
    assert.deepEqual(measured, tables, 'the metrics');

    const observer = new ReadOnlyClient(database);
    try {
      const places = {
        incomingDir: pipeline.incoming,
        processingDir: pipeline.processing,
        checkpointDir: pipeline.home,
      };
      const status = statusJson(await readStatus(places, database.label, observer), undefined) as {
        incoming: { files: number };
        processing: { files: number };
        ledger: { totals: Figures & { loadingFiles: number } };
      };
      const { loadingFiles, ...totals } = status.ledger.totals;
      assert.deepEqual([totals, loadingFiles], [tables, 0], 'status --json');

      const feed = new SnapshotFeed(observer, { ...places, label: database.label });
      const snapshot = await feed.snapshot('all');
      assert.equal(sum(snapshot.rejects!.reasons.map((reason) => reason.rows)), tables.rejected, 'the dashboard');
      assert.equal(snapshot.rejects!.total, tables.rejected, 'the dashboard');
      assert.equal(snapshot.events! + snapshot.behind!.rows, tables.inserted, 'the dashboard');

      const waiting = { incoming: filesIn(pipeline.incoming), processing: filesIn(pipeline.processing) };
      assert.deepEqual(waiting, { incoming: 3, processing: 2 });
      assert.deepEqual([status.incoming.files, status.processing.files], [3, 2], 'backlog of status');
      assert.deepEqual(
        [snapshot.backlog.incoming.files, snapshot.backlog.processing.files],
        [3, 2],
        'of the dashboard',
      );
      assert.match(text, /^ecompipe_backlog_files\{.*incoming.*\} 3$/m);
    } finally {
      await observer.close();
    }

    const { loaded, redelivered, outcome, generated } = summary;
    const summed: Figures = {
      inserted: loaded.rows,
      duplicate: loaded.duplicates,
      rejected: loaded.rejected,
      loadedFiles: loaded.files,
      quarantinedFiles: loaded.quarantinedFiles,
      redeliveries: redelivered.files,
    };
    assert.deepEqual(summed, tables, 'the summary');
    assert.equal(sum(Object.values(outcome)), generated.rows);
    assert.deepEqual([outcome.loaded, outcome.waiting, outcome.elsewhere], [tables.inserted, 0, 0]);
    assert.match(
      describeSummary(summary),
      /\n {2}[\d,]+ generated = [\d,]+ loaded \+ [\d,]+ duplicates \+ [\d,]+ rejected \+ [\d,]+ in redelivered files/,
    );
  });
});

test('a run among files of others accounts for its own rows alone', async (t) => {
  const pipeline = await createPipeline(t);
  await pipeline.generate({ seed: 8, events: 300, batchSize: 100, outputDir: path.join(pipeline.home, 'other') });
  mkdirSync(pipeline.processing, { recursive: true });
  const others = path.join(pipeline.home, 'other');
  for (const name of readdirSync(others).filter((name) => name.endsWith('.csv')))
    renameSync(path.join(others, name), path.join(pipeline.processing, name));
  await pipeline.target(async (database) => {
    const { summary } = await runWatched(pipeline, database);
    const { outcome, generated, loaded, foreignFiles } = summary;
    assert.deepEqual([foreignFiles, loaded.rows - outcome.loaded], [3, 300]);
    assert.equal(sum(Object.values(outcome)), generated.rows);
    assert.equal(outcome.elsewhere, 0);
  });
});
