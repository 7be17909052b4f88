export { runGenerate } from './run.js';
export type { GenerateEvent, GenerateResult } from './events.js';
export type { GenerateSettings } from './settings.js';
