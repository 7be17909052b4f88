export { runGenerate } from './runGenerate.js';
export type { GenerateEvent, GenerateResult } from './generateEvents.js';
export type { GenerateSettings } from './settings.js';
