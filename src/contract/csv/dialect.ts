import { COMMA, QUOTE } from './bytes.js';

/** How the bytes of a file are cut into records and fields. */
export interface Dialect {
  /** `csv`: fields between delimiters; `lines`: each line that is not empty is a record of one field. */
  readonly kind: 'csv' | 'lines';
  /** One byte. */
  readonly delimiter: number;
  /** One byte; undefined: nothing is quoted, and a record is a line. */
  readonly quote: number | undefined;
}

/** RFC 4180, as files of the table's own columns are written. */
export const RFC_4180: Dialect = { kind: 'csv', delimiter: COMMA, quote: QUOTE };
