export { embeddedUrl, startEmbedded, stopEmbedded, type StopOptions, type UrlOptions } from './control.js';
export { attachEmbeddedServer, withEmbeddedServer, type EmbeddedLease, type EmbeddedOptions } from './lease.js';
export type { EmbeddedConnection } from './session.js';
export { describeEmbedded, embeddedStatus, type EmbeddedStatus } from './status.js';
export { embeddedProgram } from './binaries.js';
