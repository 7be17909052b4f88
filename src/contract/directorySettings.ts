import * as parse from '../platform/parsers.js';

/** The directories in which the stages meet: each command gives them a flag of its own. */
export const incomingDir = { env: 'INCOMING_PATH', default: 'data/incoming', parse: parse.directory } as const;
export const processingDir = { env: 'PROCESSING_PATH', default: 'data/processing', parse: parse.directory } as const;
