import type { Command } from 'commander'
import { loadFolder } from './load-folder.ts'

export function addValidate(program: Command): void {
  program
    .command('validate')
    .description('check manifests without running them: exit status 1 and every error, or 0')
    .argument('<file...>', 'files or folders; what they hold is checked together')
    .addHelpText('after', '\nExample:\n  mayfly validate examples/shop')
    .action(async (paths: string[]) => {
      const loaded = await loadFolder(paths)
      if (loaded.ok) {
        const { functions, policies } = loaded.mesh
        console.log(`valid: ${functions.size} functions, ${policies.size} policies`)
        return
      }
      for (const line of loaded.errors) console.error(line)
      process.exitCode = 1
    })
}
