import * as parse from '../platform/parsers.js';
import { setting, InvalidValueError, type SettingTable } from '../platform/settings.js';
import { globDefect, splitGlobs } from './feeds/glob.js';

/** The directories in which the stages meet: each command gives them a flag of its own. */
export const incomingDir = { env: 'INCOMING_PATH', default: 'data/incoming', parse: parse.directory } as const;
export const processingDir = { env: 'PROCESSING_PATH', default: 'data/processing', parse: parse.directory } as const;

/** Patterns of names, with commas between them. */
export function parseGlobs(raw: string): readonly string[] {
  const globs = splitGlobs(raw);
  for (const glob of globs) {
    const defect = globDefect(glob);
    if (defect !== undefined) throw new InvalidValueError(`${JSON.stringify(glob)}: ${defect}`);
  }
  return globs;
}

/** Which files of the directories are meant, for all who move, load or count them. */
export const selectionSettings = {
  recursive: setting({
    flag: '--recursive',
    env: 'ECOMPIPE_RECURSIVE',
    default: false,
    parse: parse.boolean,
    help: 'files of subdirectories, too; they keep their relative paths',
  }),
  include: setting<readonly string[]>({
    flag: '--include',
    placeholder: '<glob>',
    env: 'ECOMPIPE_INCLUDE',
    default: [],
    defaultText: 'all',
    repeatable: true,
    parse: parseGlobs,
    help: 'only files whose name matches, such as "shop1/**"; may be repeated',
  }),
  exclude: setting<readonly string[]>({
    flag: '--exclude',
    placeholder: '<glob>',
    env: 'ECOMPIPE_EXCLUDE',
    default: [],
    defaultText: 'none',
    repeatable: true,
    parse: parseGlobs,
    help: 'not files and directories whose name matches; may be repeated',
  }),
} satisfies SettingTable;
