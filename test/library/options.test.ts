import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { dashboard } from '../../src/commands/dashboard.js';
import { prune } from '../../src/commands/prune.js';
import { rejectsSettings } from '../../src/commands/rejects.js';
import { runAllSettings } from '../../src/commands/runAllSettings.js';
import { databaseSettings } from '../../src/commands/settings.js';
import { status } from '../../src/commands/status.js';
import { undo } from '../../src/commands/undo.js';
import { verify } from '../../src/commands/verify.js';
import { generateSettings } from '../../src/pipeline/generate/settingsTable.js';
import { moveSettings } from '../../src/pipeline/move/settingsTable.js';
import { loadSettings, streamSettings } from '../../src/pipeline/stream/settingsTable.js';
import type { Setting } from '../../src/platform/settings.js';
import { ROOT } from '../docs/markdown.js';

/** Options as a caller sees them: `runAll.generate.seed`. */
interface Option {
  readonly name: string;
  readonly description: string;
  readonly default: string | undefined;
  readonly isOptional: boolean;
}

/** The tables that have the defaults of flags, by the function, or the part of its settings, that takes the same values. */
const TABLES: Readonly<Record<string, Readonly<Record<string, Setting<unknown> | undefined>>>> = {
  runGenerate: generateSettings,
  runMove: moveSettings,
  runStream: streamSettings,
  'runAll.generate': generateSettings,
  'runAll.move': moveSettings,
  'runAll.stream': loadSettings,
  runAll: runAllSettings,
  runVerify: verify.settings,
  runStatus: status.settings,
  listRejects: rejectsSettings,
  exportRejects: rejectsSettings,
  runUndo: undo.settings,
  runPrune: prune.settings,
  runDashboard: {
    incomingDir: dashboard.settings.incomingDir,
    processingDir: dashboard.settings.processingDir,
    host: dashboard.settings.dashboardHost,
    port: dashboard.settings.dashboardPort,
  },
  withDatabase: databaseSettings,
};

function readOptions(): readonly Option[] {
  const entry = path.join(ROOT, 'src/index.ts');
  const program = ts.createProgram([entry], {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const module = source && checker.getSymbolAtLocation(source);
  assert.ok(module !== undefined);
  const isOurs = (symbol: ts.Symbol): boolean =>
    symbol.declarations?.some((node) => node.getSourceFile().fileName.startsWith(path.join(ROOT, 'src'))) === true;
  const options: Option[] = [];
  const read = (prefix: string, type: ts.Type): void => {
    const properties = checker.getPropertiesOfType(type).filter(isOurs);
    // Types without optional properties are what the library itself made: a database, a status.
    if (!properties.some((property) => property.flags & ts.SymbolFlags.Optional)) return;
    for (const property of properties) {
      const name = `${prefix}.${property.name}`;
      options.push({
        name,
        description: ts.displayPartsToString(property.getDocumentationComment(checker)),
        default: property
          .getJsDocTags(checker)
          .filter((tag) => tag.name === 'default')
          .map((tag) => ts.displayPartsToString(tag.text))[0],
        isOptional: (property.flags & ts.SymbolFlags.Optional) !== 0,
      });
      const inner = checker.getNonNullableType(checker.getTypeOfSymbol(property));
      if (inner.getCallSignatures().length === 0 && !checker.isArrayType(inner)) read(name, inner);
    }
  };
  for (const exported of checker.getExportsOfModule(module)) {
    const type = checker.getTypeOfSymbol(aliased(checker, exported));
    for (const signature of type.getCallSignatures())
      for (const parameter of signature.getParameters()) read(exported.name, checker.getTypeOfSymbol(parameter));
  }
  return options;
}

function aliased(checker: ts.TypeChecker, symbol: ts.Symbol): ts.Symbol {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

const options = readOptions();

test('each option of the library says what it means and, where it may be left out, its default', () => {
  assert.ok(options.length > 100, `${options.length} options`);
  assert.deepEqual(
    options.filter(({ description }) => description === '').map(({ name }) => name),
    [],
  );
  assert.deepEqual(
    options.filter((option) => option.isOptional && !option.default).map(({ name }) => name),
    [],
  );
});

test('a default that is documented is the one of the flag', () => {
  let compared = 0;
  for (const option of options) {
    const at = option.name.lastIndexOf('.');
    const setting = TABLES[option.name.slice(0, at)]?.[option.name.slice(at + 1)];
    if (setting === undefined || !option.isOptional) continue;
    compared++;
    if (setting.default !== undefined) assert.deepEqual(literal(option), setting.default, option.name);
    else if (/^\d+$/.test(setting.defaultText ?? '')) assert.equal(literal(option), Number(setting.defaultText));
  }
  assert.ok(compared > 50, `${compared} defaults`);
});

/** The value of `@default 'data/archive'`. */
function literal({ name, default: text = '' }: Option): unknown {
  try {
    return JSON.parse(text.replace(/^'(.*)'$/, '"$1"'));
  } catch {
    assert.fail(`${name}: @default ${text} is not a value`);
  }
}
