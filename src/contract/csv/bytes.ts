export const LF = 0x0a;
export const CR = 0x0d;
export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const BACKSLASH = 0x5c;
export const DOT = 0x2e;
export const DIGIT_0 = 0x30;
export const DIGIT_9 = 0x39;
export const NUL = 0x00;

/**
 * A record is at most so long, in bytes. The bound makes a quote that never closes cost one record instead of the rest of
 * the file, and keeps memory bounded.
 */
export const MAX_RECORD_BYTES = 2 ** 20;
