import { UsageError } from '../platform/errors.js';
import type { SettingTable } from '../platform/settings.js';
import { defineCommand, type AnyCommand } from './command.js';
import { globalSettings } from './settings.js';

interface Flag {
  readonly name: string;
  readonly help: string;
  readonly takesValue: boolean;
}

/** Flags that commander has by itself. */
const BUILT_IN: readonly Flag[] = [
  { name: '--env-file', help: 'file with settings', takesValue: true },
  { name: '--no-color', help: 'no colours', takesValue: false },
  { name: '--help', help: 'print help', takesValue: false },
];

export const completion = defineCommand({
  name: 'completion',
  args: '<shell>',
  summary: 'print a script that completes commands and flags in bash, zsh or fish',
  settings: {},
  examples: [
    ['source <(ecompipe completion bash)', 'in ~/.bashrc'],
    ['ecompipe completion zsh > ~/.zfunc/_ecompipe', 'with fpath+=~/.zfunc before compinit in ~/.zshrc'],
    ['ecompipe completion fish | source', 'in ~/.config/fish/config.fish'],
  ],
  run: async ({}, { args: [shell = ''] }) => {
    const { commands } = await import('./index.js');
    const write = { bash, zsh, fish }[shell];
    if (write === undefined) throw new UsageError([`completion ${shell}: expected bash, zsh or fish`]);
    const script = write(commands.filter(({ hidden }) => hidden !== true));
    return { json: { shell, script }, text: script };
  },
});

function flagsOf(table: SettingTable): Flag[] {
  return Object.values(table).flatMap(({ flag, help, placeholder, negatedHelp }) => {
    if (flag === undefined) return [];
    const own = { name: flag, help, takesValue: placeholder?.startsWith('<') === true };
    if (negatedHelp === undefined) return [own];
    return [own, { name: flag.replace('--', '--no-'), help: negatedHelp, takesValue: false }];
  });
}

const globalFlags = (): Flag[] => [...flagsOf(globalSettings), ...BUILT_IN];

/** Words after which the next one is not the command. */
function valueFlags(): string {
  return globalFlags()
    .filter(({ takesValue }) => takesValue)
    .map(({ name }) => name)
    .join('|');
}

function bash(commands: readonly AnyCommand[]): string {
  const words = (flags: readonly Flag[]): string => flags.map(({ name }) => name).join(' ');
  const cases = commands.map(
    ({ name, settings }) => `    ${name}) words='${words([...flagsOf(settings), ...globalFlags()])}' ;;`,
  );
  return `# bash completion of ecompipe: source <(ecompipe completion bash)
_ecompipe() {
  local current=\${COMP_WORDS[COMP_CWORD]} command='' words i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${valueFlags()}) ((i++)) ;;
      -*) ;;
      *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case $command in
    '') words='${[...commands.map(({ name }) => name), 'help'].join(' ')} ${words(globalFlags())} --version' ;;
    help) words='${commands.map(({ name }) => name).join(' ')}' ;;
${cases.join('\n')}
    *) words='' ;;
  esac
  # Anything else is a file name, which -o default completes.
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _ecompipe ecompipe
`;
}

function zsh(commands: readonly AnyCommand[]): string {
  const quoted = (text: string): string => text.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, '\\$&');
  const argument = ({ name, help, takesValue }: Flag): string =>
    `'${name}[${quoted(help)}]${takesValue ? ':value:_files' : ''}'`;
  const cases = commands.map(
    ({ name, settings }) =>
      `        ${name}) _arguments ${[...flagsOf(settings), ...globalFlags()].map(argument).join(' ')} '*:file:_files' ;;`,
  );
  return `#compdef ecompipe
# zsh completion of ecompipe: ecompipe completion zsh > a directory of $fpath, as _ecompipe
_ecompipe() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${globalFlags().map(argument).join(' ')} '--version[print the version]' '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands
      commands=(${[...commands.map(({ name, summary }) => `'${name}:${quoted(summary)}'`), "'help:print help of a command'"].join(' ')})
      _describe command commands
      ;;
    argument)
      case $line[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}
if [ "$funcstack[1]" = _ecompipe ]; then _ecompipe "$@"; else compdef _ecompipe ecompipe; fi
`;
}

function fish(commands: readonly AnyCommand[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const flag = (condition: string, { name, help, takesValue }: Flag): string =>
    `complete -c ecompipe ${condition}-l ${name.slice(2)} -d ${quoted(help)}${takesValue ? ' -r' : ''}`;
  return `# fish completion of ecompipe: ecompipe completion fish | source
${[...commands, { name: 'help', summary: 'print help of a command' }].map(({ name, summary }) => `complete -c ecompipe -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`).join('\n')}
${globalFlags()
  .map((each) => flag('', each))
  .join('\n')}
${commands.flatMap(({ name, settings }) => flagsOf(settings).map((each) => flag(`-n '__fish_seen_subcommand_from ${name}' `, each))).join('\n')}
`;
}
