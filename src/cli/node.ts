import { availableParallelism, hostname } from 'node:os'
import type { Command } from 'commander'
import { addIsolateOptions } from './isolate-option.ts'
import type { NodeCommandOptions } from './run-node.ts'

export function addNode(program: Command): void {
  const command = roleCommand(
    program,
    'node',
    'run instances of functions on this machine for a mesh over several machines',
  )
  addIsolateOptions(command, 'auto')
    .option(
      '--listen <addr:port>',
      'where other nodes reach its functions; port 0: any free one',
      '127.0.0.1:0',
    )
    .option(
      '--prestarted <n>',
      'processes of Node that are started ahead for functions of file: images, where instances are not isolated',
      '0',
    )
    .option('--reserve-cpu <quantity>', 'CPU that instances may not ask for, as 500m', '0')
    .option('--reserve-memory <quantity>', 'memory that instances may not ask for, as 512Mi', '0')
    .addHelpText(
      'after',
      `
Examples:
  mayfly node --server https://10.0.0.1:7443 --token "$(mayfly token)" --listen 10.0.0.2:7001
  mayfly node --server https://10.0.0.1:7443             # again, by the identity that it has from its token`,
    )
    .action((options: NodeCommandOptions) => run(options, false))
}

export function addGateway(program: Command): void {
  roleCommand(program, 'gateway', 'take requests from outside for a mesh over several machines')
    .option(
      '--gateway <addr:port>',
      'where clients reach the functions; port 0: any free one',
      '127.0.0.1:8080',
    )
    .addHelpText(
      'after',
      '\nExample:\n  mayfly gateway --server https://10.0.0.1:7443 --token "$(mayfly token --role gateway)" --gateway 0.0.0.0:80',
    )
    .action((options: NodeCommandOptions) => run({ ...options, listen: '127.0.0.1:0' }, true))
}

function roleCommand(program: Command, role: string, description: string): Command {
  return program
    .command(role)
    .description(description)
    .requiredOption('--server <url>', 'a control plane, as https://HOST:PORT (may be repeated)', collect, [])
    .option('--token <token>', 'to join with, once: mayfly token makes one')
    .option('--data <dir>', 'where the identity that it joins with is kept', `mayfly-${role}`)
    .option(
      '--name <name>',
      'its name in the mesh',
      `${hostname()
        .toLowerCase()
        .replace(/[^a-z0-9-]/g, '-')}-${role}`,
    )
    .option(
      '--engines <n>',
      'engines that share its traffic',
      String(Math.min(8, Math.max(2, Math.floor(availableParallelism() / 2)))),
    )
    .option('--zone <zone>', 'where it stands, so that instances of a function are spread over zones', '')
}

/** Its libraries are loaded where they are needed alone: they take longer than most commands. */
async function run(options: NodeCommandOptions, isGateway: boolean): Promise<void> {
  const { runNode } = await import('./run-node.ts')
  await runNode(options, isGateway)
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}
