import type { Command } from 'commander'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { fail } from './output.ts'

export function addToken(program: Command): void {
  program
    .command('token')
    .description('make a token with which one node or gateway may join a mesh, once')
    .option('--role <role>', 'node or gateway', 'node')
    .option('--valid <seconds>', 'for how long it may be used', '600')
    .option(...CONFIG_OPTION)
    .addHelpText(
      'after',
      '\nExample:\n  mayfly node --server https://10.0.0.1:7443 --token "$(mayfly token)"',
    )
    .action(async ({ role, valid, config }: { role: string; valid: string; config?: string }) => {
      if (role !== 'node' && role !== 'gateway') fail(`--role ${role}: expected node or gateway`, 2)
      if (!/^[1-9]\d{0,5}$/.test(valid)) fail(`--valid ${valid}: expected a number of seconds`, 2)
      const { token } = await called(
        (await meshClient(config)).createJoinToken({ role, validSeconds: Number(valid) }),
      )
      console.log(token)
    })
}
