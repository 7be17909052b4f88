import { quoteName } from '../../../platform/db/names.js';
import type { ColumnShape } from './tableShape.js';

/** How the values of a column get another type, as SQL about the column. */
export interface Conversion {
  readonly using: string;
  /** True for a value that is the same afterwards. */
  readonly isLossless: string;
  /** Values are compared and sorted as before, so that a foreign key on the column can stay. */
  readonly keepsOrder: boolean;
  /** What a person must know about it. */
  readonly remark?: string;
}

const NUMBERS = ['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision'];

/** As everybody writes them. `uuid` also takes braces and other hyphens. */
const UUID = '^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$';

/** The conversion of a column to the type that it should have; undefined where some loss can't be excluded value by value. */
export function conversionOf(column: ColumnShape, wanted: ColumnShape): Conversion | undefined {
  const value = quoteName(column.name);
  if (column.isGenerated || column.type !== column.baseType) return undefined;
  if (wanted.type === 'text') return toText(column, value);
  if (wanted.type === 'uuid' && column.category === 'S')
    return { using: `${value}::text::uuid`, isLossless: `${value}::text ~ '${UUID}'`, keepsOrder: false };
  if (wanted.type === 'timestamp with time zone') return toTimestamp(column, value);
  if (NUMBERS.includes(column.bareType)) return toNumber(column, wanted, value);
  return undefined;
}

function toText({ category, bareType, collation }: ColumnShape, value: string): Conversion | undefined {
  const isString = category === 'S';
  if (!isString && category !== 'E' && !['smallint', 'integer', 'bigint', 'numeric', 'uuid'].includes(bareType))
    return undefined;
  const using = `${value}::text${collation === null ? '' : ` collate ${collation}`}`;
  return { using, isLossless: 'true', keepsOrder: isString };
}

function toTimestamp({ bareType }: ColumnShape, value: string): Conversion | undefined {
  if (bareType === 'timestamp with time zone') return { using: value, isLossless: 'true', keepsOrder: true };
  if (bareType !== 'timestamp without time zone') return undefined;
  return {
    using: `${value} at time zone 'UTC'`,
    isLossless: 'true',
    keepsOrder: false,
    remark:
      'its times have no zone and are taken for UTC; if they are in another one, convert the column yourself first',
  };
}

function toNumber({ bareType }: ColumnShape, wanted: ColumnShape, value: string): Conversion | undefined {
  const [, precision, scale] = /^numeric\((\d+),(\d+)\)$/.exec(wanted.type) ?? [];
  if (precision !== undefined && scale !== undefined) {
    const greatest = `${'9'.repeat(Number(precision) - Number(scale))}.${'9'.repeat(Number(scale))}`;
    // A cast of a real keeps six digits; by way of double precision all that it has.
    const exact = bareType === 'real' ? `${value}::double precision::numeric` : `${value}::numeric`;
    const rounded = `round(${exact}, ${scale})`;
    return {
      using: `${rounded}::${wanted.type}`,
      // Read back, it is the number that it was: 19.99 of a double is, 0.123 is not.
      isLossless: `case when abs(${value}) <= ${greatest} then ${rounded}::${bareType} = ${value} else ${isNaN(bareType, value)} end`,
      keepsOrder: false,
    };
  }
  if (wanted.type !== 'integer') return undefined;
  const isWhole = `${value}::numeric = trunc(${value}::numeric)`;
  return {
    using: `${value}::integer`,
    isLossless: `case when ${value} between -2147483648 and 2147483647 then ${isWhole} else false end`,
    keepsOrder: false,
  };
}

function isNaN(bareType: string, value: string): string {
  return ['numeric', 'real', 'double precision'].includes(bareType) ? `${value} = 'NaN'` : 'false';
}
