import { setting, type SettingTable } from '../../platform/settings.js';
import * as parse from '../../platform/parsers.js';
import { incomingDir, processingDir, selectionSettings } from '../../contract/inputSettings.js';

/** The settings of `move`, as flags and variables. */
export const moveSettings = {
  from: setting({ ...incomingDir, flag: '--from', placeholder: '<dir>', help: 'directory that producers write to' }),
  to: setting({ ...processingDir, flag: '--to', placeholder: '<dir>', help: 'directory that stream reads' }),
  once: setting({
    flag: '--once',
    env: 'ECOMPIPE_ONCE',
    default: false,
    parse: parse.boolean,
    help: 'move what is there and exit',
  }),
  settleMs: setting({
    flag: '--settle',
    placeholder: '<time>',
    env: 'ECOMPIPE_SETTLE',
    default: 1000,
    defaultText: '1s',
    parse: parse.milliseconds,
    help: 'how long a file must be unchanged before it counts as finished, such as 5s; a bare number is milliseconds',
  }),
  maxBacklog: setting<number | undefined>({
    flag: '--max-backlog',
    placeholder: '<files>',
    env: 'ECOMPIPE_MAX_BACKLOG',
    default: undefined,
    defaultText: 'no limit',
    parse: parse.optional(parse.integer(1)),
    help: 'never let more files than this wait for stream',
  }),
  ...selectionSettings,
} satisfies SettingTable;
