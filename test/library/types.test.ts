/**
 * What callers' compilers see of the library. `npm run typecheck` decides; the test at the end shows that it can fail.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { expectTypeOf } from 'expect-type';
import ts from 'typescript';
import * as ecompipe from '../../src/index.js';
import { ROOT } from '../docs/markdown.js';

type Settings<Fn extends (...args: never[]) => unknown> = NonNullable<Parameters<Fn>[0]>;
type Emitted<Options extends { readonly emit?: unknown } | undefined> = NonNullable<Options>['emit'] extends
  ((event: infer Event) => void) | undefined
  ? Event
  : never;

test('stages: settings may be left out, results and events have types of their own', () => {
  expectTypeOf(ecompipe.runGenerate).returns.resolves.toEqualTypeOf<ecompipe.GenerateResult>();
  expectTypeOf(ecompipe.runMove).returns.resolves.toEqualTypeOf<ecompipe.MoveResult>();
  expectTypeOf(ecompipe.runStream).returns.resolves.toEqualTypeOf<ecompipe.StreamResult>();
  expectTypeOf(ecompipe.runVerify).returns.resolves.toEqualTypeOf<ecompipe.VerifyResult>();
  expectTypeOf(ecompipe.runAll).returns.resolves.toEqualTypeOf<ecompipe.RunAllResult>();
  expectTypeOf(ecompipe.runMigrate).returns.resolves.toEqualTypeOf<ecompipe.MigrateResult>();

  expectTypeOf<Partial<ecompipe.GenerateSettings>>().toExtend<Settings<typeof ecompipe.runGenerate>>();
  expectTypeOf<Partial<ecompipe.StreamSettings>>().toExtend<Settings<typeof ecompipe.runStream>>();
  expectTypeOf<{ once: true; settleMs: 0 }>().toExtend<Settings<typeof ecompipe.runMove>>();
  expectTypeOf<Settings<typeof ecompipe.runStream>['afterLoad']>().toEqualTypeOf<
    'archive' | 'delete' | 'keep' | undefined
  >();
  expectTypeOf<Settings<typeof ecompipe.runStream>['batchBytes']>().toEqualTypeOf<number | undefined>();

  expectTypeOf<Emitted<Parameters<typeof ecompipe.runGenerate>[1]>>().toEqualTypeOf<ecompipe.GenerateEvent>();
  expectTypeOf<Emitted<Parameters<typeof ecompipe.runMove>[1]>>().toEqualTypeOf<ecompipe.MoveEvent>();
  expectTypeOf<Emitted<Parameters<typeof ecompipe.runStream>[2]>>().toEqualTypeOf<ecompipe.StreamEvent>();
  expectTypeOf<Emitted<Parameters<typeof ecompipe.runVerify>[2]>>().toEqualTypeOf<ecompipe.VerifyEvent>();
  expectTypeOf<Emitted<Parameters<typeof ecompipe.runAll>[2]>>().toEqualTypeOf<ecompipe.PipelineEvent>();
});

test('events are narrowed by their type', () => {
  type Rejected = Extract<ecompipe.StreamEvent, { type: 'rowsRejected' }>;
  expectTypeOf<Rejected>().toEqualTypeOf<{
    readonly type: 'rowsRejected';
    readonly file: string;
    readonly batchId: number;
    readonly rejected: number;
  }>();
  expectTypeOf<Extract<ecompipe.MoveEvent, { type: 'fileFailed' }>['error']>().toEqualTypeOf<ecompipe.EcompipeError>();
});

test('operations: what they take and give back', () => {
  expectTypeOf(ecompipe.runStatus).returns.resolves.toEqualTypeOf<ecompipe.Status>();
  expectTypeOf(ecompipe.checkStatus).returns.toEqualTypeOf<readonly ecompipe.Violation[]>();
  expectTypeOf(ecompipe.listRejects).returns.resolves.toEqualTypeOf<ecompipe.RejectList>();
  expectTypeOf(ecompipe.showReject).returns.resolves.toEqualTypeOf<ecompipe.RejectedRow>();
  expectTypeOf(ecompipe.exportRejects).returns.resolves.toEqualTypeOf<number>();
  expectTypeOf(ecompipe.replayRejects).returns.resolves.toEqualTypeOf<ecompipe.ReplayResult>();
  expectTypeOf(ecompipe.traceEvent).returns.resolves.toEqualTypeOf<ecompipe.Trace>();
  expectTypeOf(ecompipe.runUndo).returns.resolves.toEqualTypeOf<ecompipe.UndoResult>();
  expectTypeOf(ecompipe.runPrune).returns.resolves.toEqualTypeOf<ecompipe.PruneResult>();
  expectTypeOf(ecompipe.runDump).returns.resolves.toEqualTypeOf<ecompipe.DumpResult>();
  expectTypeOf(ecompipe.runRestore).returns.resolves.toEqualTypeOf<ecompipe.RestoreResult>();
  expectTypeOf(ecompipe.runDashboard).returns.resolves.toBeVoid();

  expectTypeOf<{ before: Date }>().toExtend<Settings<typeof ecompipe.runPrune>>();
  expectTypeOf<{ archive: true }>().not.toExtend<Settings<typeof ecompipe.runPrune>>();
  expectTypeOf<{ maxPending: string }>().not.toExtend<Parameters<typeof ecompipe.checkStatus>[1]>();
});

test('withDatabase gives back what its action does', () => {
  const count = (): Promise<number> => ecompipe.withDatabase({}, () => Promise.resolve(1));
  expectTypeOf(count).returns.resolves.toEqualTypeOf<number>();
  expectTypeOf(ecompipe.databaseFromEnvironment).returns.toExtend<Parameters<typeof ecompipe.withDatabase>[0]>();
});

test('errors carry their exit code and the facts of their message', () => {
  expectTypeOf<ecompipe.EcompipeError['exitCode']>().toEqualTypeOf<ecompipe.ExitCode>();
  expectTypeOf<ecompipe.EcompipeError['facts']>().toEqualTypeOf<ecompipe.ErrorFacts>();
  for (const type of [ecompipe.FileError, ecompipe.IntegrityError, ecompipe.UsageError, ecompipe.InterruptedError])
    assert.ok(type.prototype instanceof ecompipe.EcompipeError);
});

test('what is exported as a value is all that is exported', () => {
  assert.deepEqual(Object.keys(ecompipe).sort(), [
    'AlreadyRunningError',
    'EXIT',
    'EcompipeError',
    'FileError',
    'IntegrityError',
    'InterruptedError',
    'UsageError',
    'checkStatus',
    'createLogger',
    'databaseFromEnvironment',
    'embeddedStatus',
    'embeddedUrl',
    'exportRejects',
    'listRejects',
    'replayRejects',
    'runAll',
    'runDashboard',
    'runDump',
    'runGenerate',
    'runMigrate',
    'runMove',
    'runPrune',
    'runRestore',
    'runStatus',
    'runStream',
    'runUndo',
    'runVerify',
    'showReject',
    'startEmbedded',
    'stopEmbedded',
    'traceEvent',
    'withDatabase',
  ]);
});

test('the compiler finds no fault with this file, and would with another type', () => {
  const text = readFileSync(FILE, 'utf8');
  const wrong = text.replace('<ecompipe.MoveResult>', '<ecompipe.MoveEvent>');
  const program = compile(text);
  assert.deepEqual(typeErrors(program), []);
  assert.equal(typeErrors(compile(wrong, program)).length, 1);
});

const FILE = path.join(ROOT, 'test/library/types.test.ts');

/** This file with another text, by the project's own settings. */
function compile(text: string, earlier?: ts.Program): ts.Program {
  const { config } = ts.readConfigFile(path.join(ROOT, 'tsconfig.json'), ts.sys.readFile.bind(ts.sys)) as {
    config: unknown;
  };
  const { options } = ts.parseJsonConfigFileContent({ ...(config as object), include: [] }, ts.sys, ROOT);
  const host = ts.createCompilerHost(options);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getSourceFile = (name, languageVersion) =>
    path.resolve(name) === FILE
      ? ts.createSourceFile(name, text, languageVersion)
      : (earlier?.getSourceFile(name) ?? getSourceFile(name, languageVersion));
  return ts.createProgram([FILE], options, host, earlier);
}

function typeErrors(program: ts.Program): readonly string[] {
  return program
    .getSemanticDiagnostics(program.getSourceFile(FILE))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}
