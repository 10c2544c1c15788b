import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { type ClusterCredential, configFile, readCredential, writeCredential } from './cluster-credential.ts'
import { fail } from './output.ts'

interface CredentialOptions {
  readOnly?: boolean
  days: string
  out?: string
  config?: string
}

export function addCredential(program: Command): void {
  program
    .command('credential')
    .description(
      "make another client's configuration: by it somebody else uses the mesh, until it expires or is taken back",
    )
    .argument('<name>', 'who it is for, as the audit log is to call them')
    .option('--read-only', 'they may look at everything and change nothing')
    .option('--days <n>', 'for how long it is valid, at most 365', '30')
    .option('--out <file>', 'write it there, for its owner alone, instead of to standard output')
    .option(...CONFIG_OPTION)
    .addHelpText('after', EXAMPLES)
    .action(credential)
}

const EXAMPLES = `
The key is made here and stays in what is written. A name's new credential replaces the one before it.

Examples:
  mayfly credential anna --out anna.json      # anna: export MAYFLY_CONFIG=anna.json
  mayfly credential ci --read-only --days 7 --out ci.json
  mayfly get credentials
  mayfly delete credential anna`

async function credential(name: string, options: CredentialOptions): Promise<void> {
  const { readOnly = false, days, out, config } = options
  if (!/^[1-9]\d{0,2}$/.test(days) || Number(days) > 365)
    fail(`--days ${days}: expected a number of days from 1 to 365`, 2)
  if (out !== undefined && existsSync(out)) fail(`--out ${out}: there is such a file: name a new one`)
  const own = readCredential(config ?? configFile())
  const client = await meshClient(config)
  const { newRequest } = await import('../control/api/control-identity.ts')
  const { key, request } = await newRequest()
  const { certificate, roots } = await called(
    client.createCredential({ name, readOnly, validDays: Number(days), certificateRequest: request }),
  )
  const servers = own.ok ? own.credential.servers : []
  const made: ClusterCredential = { servers, roots, certificate, key }
  if (out === undefined) return console.log(JSON.stringify(made, null, 2))
  writeCredential(resolve(out), made)
  process.stderr.write(
    `mayfly: ${out} is the configuration of ${name}: export MAYFLY_CONFIG=${resolve(out)}\n`,
  )
}
