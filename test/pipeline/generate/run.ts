import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { silentLogger } from '../../../src/platform/log.js';
import type { StageContext } from '../../../src/platform/stage.js';
import type { ManifestLine } from '../../../src/contract/manifest/format.js';
import { runGenerate } from '../../../src/pipeline/generate/runGenerate.js';
import type { GenerateEvent, GenerateResult } from '../../../src/pipeline/generate/generateEvents.js';
import type { GenerateSettings } from '../../../src/pipeline/generate/settings.js';
import { atEnd } from '../../helpers/atEnd.js';

/** A fixed run: what a test leaves out of its settings comes from here. */
export const FIXED = { intervalSeconds: 0, seed: 42, start: '2026-03-01T00:00:00Z', products: 500 } as const;

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'ecompipe-generate-'));
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function contextOf(overrides: Partial<StageContext<GenerateEvent>> = {}): StageContext<GenerateEvent> {
  const never = new AbortController().signal;
  return { stop: never, drain: never, log: silentLogger, emit: () => undefined, ...overrides };
}

/** What a run left behind. */
export interface Output {
  readonly result: GenerateResult;
  readonly directory: string;
  /** Published files in the order of their names. */
  readonly names: readonly string[];
  readonly contents: readonly string[];
  readonly manifest: readonly ManifestLine[];
}

/** Runs the generator into a directory of its own. */
export async function generated(t: TestContext, settings: Partial<GenerateSettings>): Promise<Output> {
  const directory = temporaryDirectory(t);
  const result = await runGenerate({ ...FIXED, ...settings, outputDir: directory }, contextOf());
  return { result, directory, ...readOutput(directory), manifest: readManifest(result.manifest) };
}

export function readOutput(directory: string): { names: string[]; contents: string[] } {
  const names = readdirSync(directory)
    .filter((name) => !name.startsWith('.'))
    .sort();
  return { names, contents: names.map((name) => readFileSync(path.join(directory, name), 'utf8')) };
}

export function readManifest(file: string): ManifestLine[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ManifestLine);
}

/** All data rows of a clean run, without the files' headers. */
export function rowsOf({ contents }: Pick<Output, 'contents'>): string {
  return contents.map((content) => content.slice(content.indexOf('\n') + 1)).join('');
}
