import type { Command } from 'commander'
import { KIND_WORDS } from './kinds.ts'
import { fail } from './output.ts'

const SHELLS = ['bash', 'zsh', 'fish']
/** Commands whose first argument is one of a few words. */
const WORDS: Record<string, string[]> = {
  get: [...KIND_WORDS],
  describe: [...KIND_WORDS],
  delete: [...KIND_WORDS],
  wait: [...KIND_WORDS],
  top: ['nodes', 'functions', 'instances'],
  rollout: ['status', 'history', 'undo'],
  completion: SHELLS,
}

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in a shell')
    .argument('<shell>', SHELLS.join(' | '))
    .addHelpText('after', '\nExample, in ~/.bashrc:\n  source <(mayfly completion bash)')
    .action((shell: string) => {
      if (!SHELLS.includes(shell))
        fail(`there is no completion for ${shell}: expected ${SHELLS.join(', ')}`, 2)
      const commands = program.commands.map((command) => ({
        name: command.name(),
        description: command.description(),
        options: command.options.flatMap((option) =>
          [option.long, option.short].filter((flag) => flag != null),
        ),
      }))
      console.log(shell === 'fish' ? fish(commands) : shell === 'zsh' ? zsh(commands) : bash(commands))
    })
}

interface Completed {
  name: string
  description: string
  options: string[]
}

function bash(commands: Completed[]): string {
  const cases = commands.map(({ name, options }) => `    ${name}) words="${options.join(' ')} --help" ;;`)
  const choices = Object.entries(WORDS).map(
    ([name, words]) => `        ${name}) words="${words.join(' ')} $words" ;;`,
  )
  return `_mayfly() {
  local words="${commands.map(({ name }) => name).join(' ')} --help --version"
  if (( COMP_CWORD > 1 )); then
    case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    esac
    if (( COMP_CWORD == 2 )); then
      case "\${COMP_WORDS[1]}" in
${choices.join('\n')}
        help) words="${commands.map(({ name }) => name).join(' ')}" ;;
      esac
    fi
  fi
  COMPREPLY=( $(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}") )
  [[ \${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=( $(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}") )
}
complete -o filenames -F _mayfly mayfly`
}

function zsh(commands: Completed[]): string {
  return `autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`
}

function fish(commands: Completed[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "\\'")}'`
  const names = commands.map(
    ({ name, description }) =>
      `complete -c mayfly -n __fish_use_subcommand -a ${name} -d ${quote(description)}`,
  )
  const options = commands.flatMap(({ name, options }) =>
    options
      .filter((option) => option.startsWith('--'))
      .map((option) => `complete -c mayfly -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`),
  )
  const words = Object.entries(WORDS).flatMap(([name, choices]) =>
    choices.map((word) => `complete -c mayfly -f -n '__fish_seen_subcommand_from ${name}' -a ${word}`),
  )
  return [...names, ...options, ...words].join('\n')
}
