import { resolve } from 'node:path'
import type { Command } from 'commander'
import { RESOURCES } from '../control/resources/kept-resource.ts'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { fail } from './output.ts'

export function addBackup(program: Command): void {
  program
    .command('backup')
    .description("write all that a control plane keeps to a file on the control plane's machine")
    .argument('<file>', 'a new file there, as an absolute path')
    .option(...CONFIG_OPTION)
    .addHelpText(
      'after',
      `
It holds the manifests, revisions, nodes, clients and the audit log, as of one moment; not the keys of the certificate authority,
which are in authority/ of the control plane's --data.

Example:
  mayfly backup /var/backups/mayfly-monday.sqlite`,
    )
    .action(async (file: string, { config }: { config?: string }) => {
      if (!file.startsWith('/')) fail(`${file}: expected an absolute path on the control plane's machine`, 2)
      await called((await meshClient(config)).backup({ file }))
      console.log(`written to ${file} on the control plane's machine`)
    })
}

export function addRestore(program: Command): void {
  program
    .command('restore')
    .description('bring the manifests of a backup into force again; what is not in it stays')
    .argument('<file>', 'a backup, on this machine')
    .option('--dry-run', 'let the control plane judge them and change nothing')
    .option(...CONFIG_OPTION)
    .addHelpText(
      'after',
      `
A whole control plane begins anew from a backup with \`mayfly control-plane --restore FILE\`.

Example:
  mayfly restore /var/backups/mayfly-monday.sqlite --dry-run`,
    )
    .action(restore)
}

async function restore(
  file: string,
  { dryRun = false, config }: { dryRun?: boolean; config?: string },
): Promise<void> {
  const files = await manifestsOf(file)
  if (files.length === 0) fail(`${file} holds no manifests`)
  const { applied } = await called((await meshClient(config)).apply({ files, dryRun }))
  for (const { kind, namespace, name, action } of applied)
    console.log(`${kind} ${namespace}/${name} ${action}${dryRun ? ' (dry run)' : ''}`)
}

async function manifestsOf(file: string): Promise<{ path: string; text: string }[]> {
  const { readBackup } = await import('../control/store/backup-file.ts')
  try {
    const entries = readBackup(resolve(file)).filter(({ key }) => key.startsWith(RESOURCES))
    return entries.map(({ value }) => {
      const { text, source } = JSON.parse(value) as { text: string; source: { file: string } }
      return { path: source.file, text }
    })
  } catch (error) {
    return fail((error as Error).message)
  }
}
