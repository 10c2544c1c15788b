import type { Command } from 'commander'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { fail } from './output.ts'
import { FILE_OPTION, readFiles } from './read-files.ts'

export function addApply(program: Command): void {
  program
    .command('apply')
    .description('bring manifests into force in a mesh over several machines: all of them, or none')
    .requiredOption(...FILE_OPTION)
    .option('--dry-run', 'let the control plane judge them and change nothing')
    .option('-o, --output <format>', 'text or json', 'text')
    .option(...CONFIG_OPTION)
    .addHelpText('after', EXAMPLES)
    .action(apply)
}

const EXAMPLES = `
A manifest with a metadata.resourceVersion (as \`mayfly get KIND NAME -o yaml\` writes it) is applied only if nobody has changed
the resource since. From standard input, files that a manifest names (image: file:./cart.ts) are looked for where they were when it
was last applied from a file, and for a new one where the command runs.

Examples:
  mayfly apply -f examples/shop
  mayfly apply -f new.yaml --dry-run
  mayfly get service shop/cart -o yaml | sed s/100/200/ | mayfly apply -f -`

interface ApplyOptions {
  filename: string[]
  dryRun?: boolean
  output: string
  config?: string
}

async function apply({ filename, dryRun = false, output, config }: ApplyOptions): Promise<void> {
  if (output !== 'text' && output !== 'json') fail(`-o ${output}: expected text or json`, 2)
  const files = await readFiles(filename)
  const { applied } = await called((await meshClient(config)).apply({ files, dryRun }))
  if (output === 'json') {
    const rows = applied.map(({ kind, namespace, name, action, resourceVersion }) => ({
      kind,
      namespace,
      name,
      action,
      resourceVersion,
    }))
    return console.log(JSON.stringify(rows, null, 2))
  }
  for (const { kind, namespace, name, action } of applied) {
    console.log(`${kind} ${namespace}/${name} ${action}${dryRun ? ' (dry run)' : ''}`)
  }
}
