import type { Command } from 'commander'
import type { ControlPlaneCommandOptions } from './run-control-plane.ts'

export function addControlPlane(program: Command): void {
  program
    .command('control-plane')
    .description(
      'decide for a mesh over several machines: keeps its resources, places instances, gives identities',
    )
    .option(
      '--listen <addr:port>',
      'where nodes and clients reach it; port 0: any free one',
      '127.0.0.1:7443',
    )
    .option(
      '--data <dir>',
      'where resources and the keys of the certificate authority are kept',
      'mayfly-data',
    )
    .option(
      '--name <host>',
      'a DNS name or IP address by which it is reached as well (may be repeated)',
      collect,
      [],
    )
    .option(
      '--state <place>',
      'where it is kept what rate limits let through: a folder, or redis://HOST:PORT of a Valkey or Redis server (default: in --data)',
    )
    .option('--ready-file <file>', 'written as JSON once calls are answered')
    .addHelpText(
      'after',
      `
Examples:
  mayfly control-plane --data /var/lib/mayfly --listen 10.0.0.1:7443
  export MAYFLY_CONFIG=/var/lib/mayfly/admin.json    # then: mayfly token, mayfly apply -f, mayfly get`,
    )
    .action(async (options: ControlPlaneCommandOptions) => {
      // Its libraries are loaded where they are needed alone: they take longer than most commands.
      const { runControlPlane } = await import('./run-control-plane.ts')
      await runControlPlane(options)
    })
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}
