import { isUtf8 } from 'node:buffer';

/** An encoding that PostgreSQL can convert to UTF-8. */
export interface Encoding {
  /** As feeds write it. */
  readonly name: string;
  /** PostgreSQL's name for it. */
  readonly server: string;
  /** The name under which TextDecoder knows it; only names of fields are decoded here. */
  readonly decoder: string;
  /** Letters of two bytes may end with a byte that is an ASCII character by itself, such as `|`. */
  readonly embedsAscii: boolean;
}

function encoding(name: string, server: string, decoder = name, embedsAscii = false): Encoding {
  return { name, server, decoder, embedsAscii };
}

export const UTF_8 = encoding('utf-8', 'UTF8');

const ISO_8859: Readonly<Record<number, string>> = {
  2: 'LATIN2',
  3: 'LATIN3',
  4: 'LATIN4',
  5: 'ISO_8859_5',
  6: 'ISO_8859_6',
  7: 'ISO_8859_7',
  8: 'ISO_8859_8',
  10: 'LATIN6',
  13: 'LATIN7',
  14: 'LATIN8',
  15: 'LATIN9',
  16: 'LATIN10',
};

/** All that can be written in a feed, by name in small letters. */
const ENCODINGS: readonly Encoding[] = [
  UTF_8,
  encoding('latin1', 'LATIN1'),
  ...Object.entries(ISO_8859).map(([part, server]) => encoding(`iso-8859-${part}`, server)),
  encoding('iso-8859-9', 'LATIN5', 'windows-1254'),
  ...[1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258].map((page) => encoding(`windows-${page}`, `WIN${page}`)),
  encoding('windows-874', 'WIN874'),
  encoding('cp866', 'WIN866', 'ibm866'),
  encoding('koi8-r', 'KOI8R'),
  encoding('koi8-u', 'KOI8U'),
  encoding('euc-jp', 'EUC_JP'),
  encoding('euc-kr', 'EUC_KR'),
  encoding('shift_jis', 'SJIS', 'shift_jis', true),
  encoding('gbk', 'GBK', 'gbk', true),
  encoding('gb18030', 'GB18030', 'gb18030', true),
  encoding('big5', 'BIG5', 'big5', true),
  encoding('cp949', 'UHC', 'euc-kr', true),
];

const ALIASES: Readonly<Record<string, string>> = {
  utf8: 'utf-8',
  ascii: 'utf-8',
  'us-ascii': 'utf-8',
  'iso-8859-1': 'latin1',
  'latin-1': 'latin1',
  cp1252: 'windows-1252',
  win1252: 'windows-1252',
  cp1251: 'windows-1251',
  cp1250: 'windows-1250',
  sjis: 'shift_jis',
  'shift-jis': 'shift_jis',
  latin2: 'iso-8859-2',
  latin9: 'iso-8859-15',
  ibm866: 'cp866',
};

export const ENCODING_NAMES: readonly string[] = ENCODINGS.map(({ name }) => name);

/** The encoding of this name, in whatever case, if there is one. */
export function findEncoding(name: string): Encoding | undefined {
  const wanted = name.toLowerCase();
  return ENCODINGS.find((candidate) => candidate.name === (ALIASES[wanted] ?? wanted));
}

/** Text of some bytes. @throws TypeError when they are not in this encoding. */
export function decode(bytes: Buffer, { decoder }: Encoding): string {
  // TextDecoder takes latin1 for windows-1252, as browsers do.
  if (decoder === 'latin1') return bytes.toString('latin1');
  return new TextDecoder(decoder, { fatal: true }).decode(bytes);
}

/** Whether a delimiter or a quote can be taken for a part of a letter. */
export function collides(character: string, { embedsAscii, name }: Encoding): boolean {
  const code = character.charCodeAt(0);
  return embedsAscii && ((code >= 0x40 && code <= 0x7e) || (name === 'gb18030' && code >= 0x30 && code <= 0x39));
}

/** The text of bytes as PostgreSQL can hold it; undefined where they are none. */
export function textOf(raw: Buffer, encoding: Encoding): string | undefined {
  if (raw.includes(0)) return undefined;
  if (encoding === UTF_8) return isUtf8(raw) ? raw.toString('utf8') : undefined;
  try {
    return decode(raw, encoding);
  } catch {
    return undefined;
  }
}

/** A row's bytes as text; those that are none become `\xNN`, so that a person sees where they are. */
export function readable(raw: Buffer, encoding: Encoding): string {
  const whole = textOf(raw, encoding);
  if (whole !== undefined) return whole;
  let text = '';
  for (let at = 0; at < raw.length;) {
    const length = [1, 2, 3, 4].find(
      (count) => at + count <= raw.length && textOf(raw.subarray(at, at + count), encoding) !== undefined,
    );
    text +=
      length === undefined
        ? `\\x${raw.toString('hex', at, at + 1)}`
        : (textOf(raw.subarray(at, at + length), encoding) ?? '');
    at += length ?? 1;
  }
  return text;
}
