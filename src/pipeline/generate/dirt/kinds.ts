import { Problem } from '../../../core/runtime/settings.js';

/** Every kind of fault that can be asked for, with its rate under `--dirt dirty`. */
export const DIRT_KINDS = {} as const satisfies Readonly<Record<string, number>>;

export type DirtRates = Readonly<Record<string, number>>;

/** Parses `clean`, `dirty` or `kind=rate,…`. @throws Problem */
export function parseDirt(text: string): DirtRates {
  if (text === 'clean') return {};
  throw new Problem('expected clean, dirty, or kind=rate,…');
}
