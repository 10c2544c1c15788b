import type { Command } from 'commander'
import { loadFolder } from './load-folder.ts'

export function addValidate(program: Command): void {
  program
    .command('validate')
    .description('check manifests without running them: exit status 1 and every error, or 0')
    .argument('<file...>', 'files or folders; what they hold is checked together')
    .action(async (paths: string[]) => {
      const loaded = await loadFolder(paths)
      if (loaded.ok) {
        const { view } = loaded.mesh
        const policies = view.authorizationPolicies.length + view.sidecars.length + view.telemetries.length
        console.log(`valid: ${view.functions.length} functions, ${policies} policies`)
        return
      }
      for (const line of loaded.errors) console.error(line)
      process.exitCode = 1
    })
}
