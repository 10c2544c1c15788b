import type { Command } from 'commander'
import { CONFIG_OPTION, called, meshClient } from './cluster-client.ts'
import { findFunction, keyOf } from './function-name.ts'
import { clusterSource, openSource, SOURCE_HELP, SOURCE_OPTIONS, type SourceOptions } from './mesh-source.ts'
import { fail, formatTable } from './output.ts'
import { parseDuration } from './parse-duration.ts'
import { isRolledOut, rolloutOf, rolloutText } from './readiness.ts'
import { until } from './wait.ts'

export function addRollout(program: Command): void {
  const rollout = program
    .command('rollout')
    .description(
      'the revisions of a function: how the newest comes into force, which there were, and back to one of them',
    )
    .addHelpText('after', EXAMPLES)
  rollout
    .command('status')
    .description('wait until the newest revision serves and no earlier one is left')
    .argument('<function>', 'namespace/name, or the name alone')
    .option('--timeout <duration>', 'for how long at most, as in 30s, 5m', '5m')
    .option(...SOURCE_OPTIONS[0])
    .option(...SOURCE_OPTIONS[1])
    .addHelpText('after', SOURCE_HELP)
    .action(status)
  rollout
    .command('history')
    .description('the revisions that are kept')
    .argument('<function>', 'namespace/name, or the name alone')
    .option('-o, --output <format>', 'table or json', 'table')
    .option(...CONFIG_OPTION)
    .action(history)
  rollout
    .command('undo')
    .description('bring an earlier revision into force again, as the newest one')
    .argument('<function>', 'namespace/name, or the name alone')
    .option('--to-revision <number>', 'its number; the one before the present one where it is left out', '0')
    .option(...CONFIG_OPTION)
    .action(undo)
}

const EXAMPLES = `
Examples:
  mayfly rollout status shop/cart
  mayfly rollout history shop/cart
  mayfly rollout undo shop/cart --to-revision 2`

async function status(name: string, options: SourceOptions & { timeout: string }): Promise<void> {
  const timeoutMs = parseDuration('--timeout', options.timeout)
  const source = await openSource(options)
  const key = keyOf(await findFunction(source, name))
  let told = ''
  await until(
    async () => {
      const rollout = (await rolloutOf(source, key)) ?? fail(`there is no function ${key} any more`)
      const how = rolloutText(rollout)
      if (how !== told) console.log(how)
      told = how
      return { isSo: isRolledOut(rollout), how }
    },
    `${key} to be rolled out`,
    timeoutMs,
  )
}

async function history(name: string, { output, config }: { output: string; config?: string }): Promise<void> {
  if (output !== 'table' && output !== 'json') fail(`-o ${output}: expected table or json`, 2)
  const client = await meshClient(config)
  const { revisions } = await called(client.listRevisions(await findFunction(clusterSource(client), name)))
  const rows = revisions.map(({ generation, name: revision, manifest, current }) => ({
    revision: Number(generation),
    name: revision,
    current,
    image: imageOf(manifest),
  }))
  if (output === 'json') console.log(JSON.stringify(rows, null, 2))
  else console.log(formatTable(rows, ['revision', 'name', 'current', 'image']))
}

async function undo(
  name: string,
  { toRevision, config }: { toRevision: string; config?: string },
): Promise<void> {
  if (!/^\d{1,9}$/.test(toRevision))
    fail(`--to-revision ${toRevision}: expected the number of a revision (mayfly rollout history ${name})`, 2)
  const client = await meshClient(config)
  const { namespace, name: own } = await findFunction(clusterSource(client), name)
  const { applied } = await called(client.rollback({ namespace, name: own, generation: BigInt(toRevision) }))
  for (const one of applied)
    console.log(`${one.kind} ${one.namespace}/${one.name} ${one.action}: revision ${one.generation}`)
}

function imageOf(manifest: string): string {
  const { spec } = JSON.parse(manifest) as {
    spec?: { template?: { spec?: { containers?: { image?: string }[] } } }
  }
  return spec?.template?.spec?.containers?.[0]?.image ?? ''
}
