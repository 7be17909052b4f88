import { didYouMean } from '../platform/didYouMean.js';
import { UsageError } from '../platform/errors.js';
import type { Logger } from '../platform/log.js';
import type { SettingsOf, SettingTable } from '../platform/settings.js';

/** What a command gets besides its settings. */
export interface CommandContext {
  readonly log: Logger;
  /** Aborts at the first SIGINT or SIGTERM. At the second the process ends at once. */
  readonly stop: AbortSignal;
  /** stderr is a terminal and may show a spinner or a panel. */
  readonly interactive: boolean;
  readonly color: boolean;
  readonly quiet: boolean;
  /** The result is wanted as JSON. */
  readonly json: boolean;
  /** Positional arguments. */
  readonly args: readonly string[];
  /** Ctrl-C is another program's from here on, which has the terminal: SIGINT does not stop us any more. */
  readonly yieldInterrupts: () => void;
  /** Tells how much of the work is done, from 0 to 1: what a second Ctrl-C reports. */
  readonly onProgress: (share: number) => void;
}

/** What a command has to say on stdout: `text` for people, or `json` with `--json`; undefined: nothing. */
export interface CommandResult {
  readonly text?: string;
  readonly json: unknown;
  /** One of EXIT, or that of a program which was run. Default 0. */
  readonly exitCode?: number;
  /** `text` reports what was done, and does not answer a question: `--quiet` leaves it out on success. Default false. */
  readonly isReport?: boolean;
}

export interface Command<Table extends SettingTable> {
  readonly name: string;
  /** Positional arguments as commander writes them: `<action>`, `[file]`. */
  readonly args?: string;
  readonly summary: string;
  /** Not shown in `--help`. Default false. */
  readonly hidden?: boolean;
  readonly settings: Table;
  /** What it still does after the first Ctrl-C, as a clause. Undefined: it ends at once, or has its own words. */
  readonly whenStopped?: string;
  /** Command lines shown at the end of `--help`, each with what it does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /**
   * Parses nothing and prints nothing: settings in, one call, result out. Heavy modules are imported inside, so that
   * `--version` and `--help` start fast.
   */
  readonly run: (settings: SettingsOf<Table>, context: CommandContext) => Promise<CommandResult>;
}

/** A command whose settings table is of no concern to the caller. */
export type AnyCommand = Command<SettingTable>;

/**
 * Checks a command's `run` against its own settings table. The one cast of the command layer: `run` is only ever called
 * with what `parseSettings` made of the same table.
 */
export function defineCommand<Table extends SettingTable>(command: Command<Table>): AnyCommand {
  return command as unknown as AnyCommand;
}

/** What the first word after a command chooses, such as `list` of `rejects`. */
export interface Action<Settings> {
  /** The one word that follows, as the list of actions shows it and in words. Undefined: none may follow. */
  readonly target?: { readonly placeholder: string; readonly expected: string; readonly isOptional?: boolean };
  /** Any words may follow: they are another program's. @default false */
  readonly passesOn?: boolean;
  readonly run: (settings: Settings, context: CommandContext, words: readonly string[]) => Promise<CommandResult>;
}

export type Actions<Settings> = Readonly<Record<string, Action<Settings>>>;

/** Runs the action that the first word names. @throws UsageError when there is none of that name, or what follows is not what it takes. */
export async function runAction<Settings>(
  command: string,
  actions: Actions<Settings>,
  settings: Settings,
  context: CommandContext,
): Promise<CommandResult> {
  const [name = '', ...words] = context.args;
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action === undefined) {
    const listed = Object.entries(actions).map(([each, { target }]) => `${each} ${target?.placeholder ?? ''}`.trim());
    const last = listed.pop() ?? '';
    const choice = listed.length === 0 ? last : `${listed.join(', ')} or ${last}`;
    throw new UsageError([`${command} ${name}: expected ${choice}${didYouMean(name, Object.keys(actions))}`]);
  }
  const { target, passesOn = false } = action;
  const min = target === undefined || target.isOptional === true ? 0 : 1;
  const max = passesOn ? Infinity : target === undefined ? 0 : 1;
  if (words.length < min || words.length > max)
    throw new UsageError([`${command} ${name}: expected ${target?.expected ?? 'no further word'}`]);
  return await action.run(settings, context, words);
}
