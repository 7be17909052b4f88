import { setting, type SettingTable } from '../../platform/settings.js';
import * as parse from '../../platform/parsers.js';
import { incomingDir } from '../../contract/directorySettings.js';
import { parseFaults } from './faults/kinds.js';
import { parseProfile, parseStart } from './settings.js';
import { PROFILES } from './profile.js';

/** Checks a text now, with all other settings, and leaves it a text. */
function checked(check: (raw: string) => unknown): (raw: string) => string {
  return (raw) => {
    check(raw);
    return raw;
  };
}

const positiveInteger = parse.optional(parse.integer(1));

/** The settings of `generate`, as flags and variables. */
export const generateSettings = {
  outputDir: setting({
    ...incomingDir,
    flag: '--output-dir',
    placeholder: '<dir>',
    help: 'directory that files appear in',
  }),
  intervalSeconds: setting<number | undefined>({
    flag: '--interval',
    placeholder: '<seconds>',
    env: 'ECOMPIPE_INTERVAL',
    default: undefined,
    defaultText: '5',
    parse: parse.optional(parse.decimal(0, 86_400)),
    help: 'time between files; 0: as fast as possible',
  }),
  batchSize: setting<number | undefined>({
    flag: '--batch-size',
    placeholder: '<events>',
    env: 'ECOMPIPE_BATCH_SIZE',
    default: undefined,
    defaultText: '10',
    parse: positiveInteger,
    help: 'events in a file',
  }),
  batches: setting<number | undefined>({
    flag: '--batches',
    placeholder: '<n>',
    env: 'ECOMPIPE_BATCHES',
    default: undefined,
    defaultText: 'no limit',
    parse: positiveInteger,
    help: 'stop after so many files',
  }),
  events: setting<number | undefined>({
    flag: '--events',
    placeholder: '<n>',
    env: 'ECOMPIPE_EVENTS',
    default: undefined,
    defaultText: 'no limit',
    parse: positiveInteger,
    help: 'stop after so many events',
  }),
  rate: setting<number | undefined>({
    flag: '--rate',
    placeholder: '<events/s>',
    env: 'ECOMPIPE_RATE',
    default: undefined,
    parse: parse.optional(parse.positive),
    help: 'events a second; sets --batch-size, or --interval when the size is given',
  }),
  seed: setting<number | undefined>({
    flag: '--seed',
    placeholder: '<n>',
    env: 'ECOMPIPE_SEED',
    default: undefined,
    defaultText: 'drawn and reported',
    parse: parse.optional(parse.integer(0)),
    help: 'with --start: the same bytes every time',
  }),
  start: setting<string | undefined>({
    flag: '--start',
    placeholder: '<time>',
    env: 'ECOMPIPE_START',
    default: undefined,
    defaultText: 'now; with --interval 0 four weeks ago',
    parse: parse.optional(checked(parseStart)),
    help: 'time of the first event, such as 2026-11-22T13:00:00Z',
  }),
  users: setting<number | undefined>({
    flag: '--users',
    placeholder: '<n>',
    env: 'ECOMPIPE_USERS',
    default: undefined,
    defaultText: 'as many as the events need',
    parse: positiveInteger,
    help: 'how many different users there are',
  }),
  products: setting<number | undefined>({
    flag: '--products',
    placeholder: '<n>',
    env: 'ECOMPIPE_PRODUCTS',
    default: undefined,
    defaultText: '10000',
    parse: positiveInteger,
    help: 'items in the catalogue',
  }),
  profile: setting<string | undefined>({
    flag: '--profile',
    placeholder: '<name>',
    env: 'ECOMPIPE_PROFILE',
    default: undefined,
    defaultText: 'default',
    parse: parse.optional(checked(parseProfile)),
    help: `kind of shop: ${Object.keys(PROFILES).join(', ')}`,
  }),
  dirt: setting<string | undefined>({
    flag: '--dirt',
    placeholder: '<kinds>',
    env: 'ECOMPIPE_DIRT',
    default: undefined,
    defaultText: 'clean',
    parse: parse.optional(checked(parseFaults)),
    help: 'clean, dirty, or faults by kind=rate,…',
  }),
  manifestDir: setting<string | undefined>({
    flag: '--manifest',
    placeholder: '<dir>',
    env: 'MANIFEST_PATH',
    default: undefined,
    defaultText: '.manifest in the output directory',
    parse: parse.optional(parse.directory),
    help: 'where to write what the database must contain afterwards',
  }),
} satisfies SettingTable;
