export { runVerify, type VerifyContext } from './runVerify.js';
export { describeVerify } from './describeVerify.js';
export { createVerifyEventLogger } from './logVerifyEvents.js';
export type { Finding, FindingKind, VerifyEvent, VerifyResult, VerifySettings } from './verifyEvents.js';
