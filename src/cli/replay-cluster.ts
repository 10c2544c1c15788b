import { connect } from 'node:net'
import { NAMESPACE } from '../study/manifests.ts'
import type { MeshUsage, Place, StartMesh } from '../study/mesh.ts'
import { type MeshClient, meshClient } from './cluster-client.ts'
import { deleteAll, type Named, writtenIn } from './delete-all.ts'
import { answered, clusterSource, type MeshSource } from './mesh-source.ts'
import { addCounters } from './mesh-usage.ts'
import type { NodeRow } from './node-rows.ts'
import { fail } from './output.ts'
import { readFiles } from './read-files.ts'
import type { UsageSample } from './usage-sample.ts'

const CONNECT_MS = 5_000

/** A mesh over several machines that a replay drives. */
export interface ReplayedCluster {
  readonly place: Place
  readonly start: StartMesh
}

/** The mesh of the control plane that the configuration names; ends the command where a replay would get in somebody's way there. */
export async function replayedCluster(config: string | undefined): Promise<ReplayedCluster> {
  const client = await meshClient(config)
  const source = clusterSource(client)
  await refuseWhatIsThere(client)
  const gateway = process.env.MAYFLY_GATEWAY || (await gatewayOf(source))
  if (!URL.canParse(gateway)) fail(`MAYFLY_GATEWAY=${gateway}: expected http://HOST:PORT`, 2)
  return {
    place: {
      collectorHost: await ownAddress(gateway),
      // A path would be one of each node's own.
      accessLog: '/dev/stdout',
      notes: [
        `cluster, gateway ${gateway}: runtime is its nodes and gateways without the control plane; what instances that have ended used, and how many were started, a cluster does not count`,
      ],
    },
    start: (manifests) => start(client, source, gateway, manifests),
  }
}

/** What is applied is deleted afterwards, so nothing of it may be somebody's. */
async function refuseWhatIsThere(client: MeshClient): Promise<void> {
  const { items: configs } = await client.list({ kind: 'MeshConfig' })
  if (configs.length > 0)
    fail(
      `the cluster has a MeshConfig (${configs[0]!.name}), and there can be but one: a replay needs its own (limits, tracing)`,
    )
  const { items } = await client.list({ kind: 'Service', namespace: NAMESPACE })
  if (items.length > 0)
    fail(
      `the cluster has functions in the namespace ${NAMESPACE}, which is to be the replay's own: delete them (of an earlier replay: mayfly delete -f OUT/manifests)`,
    )
}

async function gatewayOf(source: MeshSource): Promise<string> {
  const nodes = answered(await source.status<NodeRow[]>('nodes'))
  const open = nodes.find(({ gateway, state }) => gateway !== null && state === 'ready')
  return open?.gateway ?? fail('no gateway of the cluster is ready (mayfly get nodes)')
}

/** By which of its addresses this machine reaches the gateway: the nodes reach this machine by the same. */
function ownAddress(gateway: string): Promise<string> {
  const { hostname, port } = new URL(gateway)
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || 80), timeout: CONNECT_MS })
    const refuse = (why: string) => fail(`the gateway ${gateway} is out of reach: ${why}`)
    socket.on('timeout', () => refuse(`no answer in ${CONNECT_MS / 1_000} s`))
    socket.on('error', (error) => refuse(error.message))
    socket.on('connect', () => {
      resolve(socket.localAddress!)
      socket.destroy()
    })
  })
}

async function start(
  client: MeshClient,
  source: MeshSource,
  gateway: string,
  manifests: string,
): ReturnType<StartMesh> {
  const files = await readFiles([manifests])
  const written = writtenIn(files)
  await client.apply({ files, dryRun: false })
  const { config } = answered(await source.status<{ config: { domain: string } }>('mesh'))
  // Engines answer in turn: then they have heard of all that was applied.
  const engines = (await engineRows(source)).map(({ engine }) => engine)
  return {
    gateway,
    host: (key) => `${key.split('/').reverse().join('.')}.${config.domain}`,
    usage: () => usageOf(source, engines),
    stop: () => remove(client, written),
  }
}

async function remove(client: MeshClient, written: readonly Named[]): Promise<void> {
  const problem = await deleteAll(client, written, { ignoreNotFound: true })
  if (problem !== null) throw new Error(`what the replay applied is not deleted: ${problem}`)
}

interface EngineRow {
  engine: string
  counters: (Record<string, number> & { sidecars?: { sandboxes?: number } }) | null
}

async function engineRows(source: MeshSource): Promise<EngineRow[]> {
  return answered(await source.status<EngineRow[]>('engines'))
}

/** `before` are the engines of the beginning: what one that is no more has counted is not known. */
async function usageOf(source: MeshSource, before: readonly string[]): Promise<MeshUsage> {
  const [{ nodes, instances }, engines] = await Promise.all([
    source.status<UsageSample>('sample').then(answered),
    engineRows(source),
  ])
  const counted = { runtimeCpuMs: 0, runtimeRssBytes: 0, sandboxesRun: 0 }
  const isWhole =
    engines.every(({ counters }) => counters !== null) &&
    before.every((name) => engines.some(({ engine }) => engine === name))
  for (const { counters } of engines) addCounters(counted, counters ?? {})
  for (const { own } of nodes) {
    counted.runtimeCpuMs += own?.cpuMs ?? 0
    counted.runtimeRssBytes += own?.rssBytes ?? 0
  }
  const isTold = nodes.every(({ own }) => own !== null)
  const names = Object.keys(counted)
  return {
    ...(isWhole ? counted : Object.fromEntries(names.map((name) => [name, null]))),
    runtimeCpuMs: isTold ? counted.runtimeCpuMs : null,
    runtimeRssBytes: isTold ? counted.runtimeRssBytes : null,
    functionsCpuMs: null,
    functionsRssBytes: instances.reduce((sum, { rssBytes }) => sum + rssBytes, 0),
    sandboxesRun: isWhole ? counted.sandboxesRun : null,
    instancesStarted: null,
  }
}
