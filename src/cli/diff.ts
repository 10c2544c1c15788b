import type { Command } from 'commander'
import { stringify } from 'yaml'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { FILE_OPTION, readFiles } from './read-files.ts'
import { unifiedDiff } from './unified-diff.ts'

export function addDiff(program: Command): void {
  program
    .command('diff')
    .description('show what `mayfly apply` of the same manifests would change')
    .requiredOption(...FILE_OPTION)
    .option(...CONFIG_OPTION)
    .addHelpText('after', EXAMPLES)
    .action(diff)
}

const EXAMPLES = `
The status is 0 where nothing differs, 1 where something does, 2 where that cannot be told.

Example:
  mayfly diff -f examples/shop && echo all is in force`

async function diff({ filename, config }: { filename: string[]; config?: string }): Promise<void> {
  const files = await readFiles(filename, 2)
  const { applied } = await called((await meshClient(config, 2)).apply({ files, dryRun: true }), 2)
  for (const { kind, namespace, name, before, after } of applied) {
    const place = `${kind}/${namespace}/${name}`
    const text = unifiedDiff(
      before === '' ? '/dev/null' : `in force/${place}`,
      asYaml(before),
      `written/${place}`,
      asYaml(after),
    )
    if (text === '') continue
    console.log(text)
    process.exitCode = 1
  }
}

function asYaml(manifest: string): string {
  return manifest === '' ? '' : stringify(JSON.parse(manifest))
}
