import type { AnyCommand } from './command.js';
import { migrate } from './migrate.js';

/** All commands, in the order of `--help`. */
export const commands: readonly AnyCommand[] = [migrate];
