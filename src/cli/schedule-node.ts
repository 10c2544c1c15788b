import type { Command } from 'commander'
import { CONFIG_OPTION, called, type MeshClient, meshClient } from './cluster-client.ts'
import { VIEWS } from './kinds.ts'
import { clusterSource } from './mesh-source.ts'
import { fail } from './output.ts'
import { parseDuration } from './parse-duration.ts'
import { selectRows } from './selection.ts'
import { until } from './wait.ts'

export function addCordon(program: Command): void {
  command(program, 'cordon', 'let no further instances start on a node').action(
    async (node: string, { config }: { config?: string }) => {
      await schedule(await meshClient(config), node, { schedulable: false, drain: false })
      console.log(`Node ${node} cordoned`)
    },
  )
}

export function addUncordon(program: Command): void {
  command(program, 'uncordon', 'let instances start on a node again').action(
    async (node: string, { config }: { config?: string }) => {
      await schedule(await meshClient(config), node, { schedulable: true, drain: false })
      console.log(`Node ${node} uncordoned`)
    },
  )
}

export function addDrain(program: Command): void {
  command(program, 'drain', 'move the instances of a node to others, and wait until none is left')
    .option('--timeout <duration>', 'for how long it waits at most, as in 30s, 5m', '5m')
    .addHelpText(
      'after',
      '\nNo further instances start there (mayfly uncordon lets them). Others start first, and requests under way end.\n\nExample:\n  mayfly drain n1 --timeout 10m',
    )
    .action(drain)
}

function command(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .argument('<node>', 'its name (mayfly get nodes)')
    .option(...CONFIG_OPTION)
}

async function drain(node: string, options: { timeout: string; config?: string }): Promise<void> {
  const timeoutMs = parseDuration('--timeout', options.timeout)
  const client = await meshClient(options.config)
  await schedule(client, node, { schedulable: false, drain: true })
  const source = clusterSource(client)
  let told = -1
  await until(
    async () => {
      const [row] = await selectRows(source, VIEWS.nodes!, { name: node })
      const left = Number((row ?? fail(`there is no node ${node} any more`)).instances)
      const how = `${left} ${left === 1 ? 'instance is' : 'instances are'} left on it`
      if (left !== told) console.log(`Node ${node}: ${how}`)
      told = left
      return { isSo: left === 0, how }
    },
    `node ${node} to be drained`,
    timeoutMs,
  )
}

async function schedule(
  client: MeshClient,
  node: string,
  how: { schedulable: boolean; drain: boolean },
): Promise<void> {
  await called(client.setNodeSchedulable({ node, ...how }))
}
