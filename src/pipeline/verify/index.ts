export { runVerify, type VerifyContext } from './runVerify.js';
export { describeLedgerProof, proveLedger, type LedgerFinding, type LedgerProof } from './ledgerProof.js';
export { describeVerify } from './describeVerify.js';
export { createVerifyEventLogger } from './logVerifyEvents.js';
export type { Finding, FindingKind, VerifyEvent, VerifyResult, VerifySettings } from './verifyEvents.js';
