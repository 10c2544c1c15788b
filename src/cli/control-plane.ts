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
    .option(
      '--store <place>',
      'keep resources in etcd, which several control planes may share: etcd://HOST:PORT[,HOST:PORT][/PREFIX] (default: a file in --data)',
    )
    .option(
      '--store-ca <file>',
      "PEM of what etcd's certificate is verified by; TLS is used where it is named",
    )
    .option('--store-cert <file>', "PEM of the control plane's certificate for etcd")
    .option('--store-key <file>', 'PEM of its private key')
    .option('--store-user <name>', 'a user of etcd that may read and write under the prefix')
    .option('--store-password-file <file>', 'where its password stands')
    .option(
      '--authority-key <file>',
      "what the certificate authority's keys in etcd are sealed by; the same on each control plane (default: authority.key in --data)",
    )
    .option(
      '--slice-idle <time>',
      'nodes forget functions for which they have had no use for so long; they ask for them again',
      '10m',
    )
    .option('--restore <file>', 'begin with what a backup holds; the store must be empty')
    .option('--ready-file <file>', 'written as JSON once calls are answered')
    .addHelpText(
      'after',
      `
Examples:
  mayfly control-plane --data /var/lib/mayfly --listen 10.0.0.1:7443
  mayfly control-plane --store etcd://10.0.0.7:2379 --state redis://10.0.0.8:6379 --listen 10.0.0.2:7443   # one of several
  mayfly control-plane --data /var/lib/new --restore /backup/monday
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
