import { resolve } from 'node:path'
import type { Command } from 'commander'
import { readManifestFolder } from '../control/manifest-folder.ts'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { readProblem } from './load-folder.ts'
import { fail } from './output.ts'

export function addApply(program: Command): void {
  program
    .command('apply')
    .description('bring manifests into force in a mesh over several machines: all of them, or none')
    .requiredOption('-f, --filename <path>', 'a file or folder of manifests (may be repeated)', collect, [])
    .option('--dry-run', 'let the control plane judge them and change nothing')
    .option('-o, --output <format>', 'text or json', 'text')
    .option(...CONFIG_OPTION)
    .addHelpText(
      'after',
      '\nExamples:\n  mayfly apply -f examples/shop\n  mayfly apply -f new.yaml --dry-run',
    )
    .action(apply)
}

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

/** With absolute paths: what manifests name beside them is found by those on the nodes. */
export async function readFiles(paths: readonly string[]): Promise<{ path: string; text: string }[]> {
  const files = new Map<string, string>()
  for (const path of paths) {
    try {
      for (const file of await readManifestFolder(path)) files.set(resolve(file.path), file.text)
    } catch (error) {
      fail(readProblem(path, error as NodeJS.ErrnoException))
    }
  }
  if (files.size === 0) fail(`${paths.join(', ')}: no .yaml or .yml file: expected manifests`)
  return Array.from(files, ([path, text]) => ({ path, text }))
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}
