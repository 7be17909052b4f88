export { runVerify, type VerifyContext } from './verify.js';
export { describeVerify } from './describe.js';
export { createVerifyEventLogger } from './logEvents.js';
export type { Finding, FindingKind, VerifyEvent, VerifyResult, VerifySettings } from './events.js';
