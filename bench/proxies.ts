import { join } from 'node:path'
import { type Children, countLines, pause } from './children.ts'
import { startEnvoy } from './envoy.ts'
import { HeadCycle } from './head-cycle.ts'
import { authorization, meshConfig, service, telemetry } from './manifests.ts'
import { startMesh } from './mayfly.ts'
import { startNginxProxy } from './nginx.ts'
import { processTree } from './process-tree.ts'
import type { Loaded } from './proxy-load.ts'
import { processesOf, startRelay } from './relay.ts'
import { startTraceSink, type TraceSink } from './trace-sink.ts'
import { RULES, requestHead } from './workload.ts'

/** A proxy in front of the upstream, and what it leaves behind for each request. */
export type RunningProxy = Loaded & { readonly name: ProxyName; readonly records?: Records }

/** Where spans and access logs go. */
export type Records = {
  readonly sink: TraceSink
  readonly accessLogs: readonly string[]
  /** So many of each are left by a request. */
  readonly perRequest: number
}

export type ProxyName = 'relay' | 'nginx' | 'envoy' | 'envoy+policies' | 'mayfly'

const recordSeconds = 15
const hostName = 'api.bench.localhost'

/** The proxies that run, and why the others do not. */
export type Proxies = {
  readonly running: readonly RunningProxy[]
  readonly absent: ReadonlyMap<ProxyName, string>
}

/** Starts a bare relay, nginx, Envoy bare and with our policies' equivalents, and Mayfly, one after the other. */
export async function startProxies(
  children: Children,
  upstream: number,
  hasEnvoy: boolean,
): Promise<Proxies> {
  const starts: Record<ProxyName, () => Promise<RunningProxy>> = {
    relay: () => startBareRelay(children, upstream),
    nginx: () => startNginx(children, upstream),
    envoy: () => startBareEnvoy(children, upstream),
    'envoy+policies': () => startFullEnvoy(children, upstream),
    mayfly: () => startMayfly(children, upstream),
  }
  const running: RunningProxy[] = []
  const absent = new Map<ProxyName, string>()
  for (const [name, start] of Object.entries(starts) as [ProxyName, () => Promise<RunningProxy>][]) {
    if (name.startsWith('envoy') && !hasEnvoy) {
      absent.set(name, 'Envoy is not installed')
      continue
    }
    try {
      running.push(await start())
    } catch (error) {
      absent.set(name, (error as Error).message)
    }
  }
  return { running, absent }
}

/** What is missing of the spans and log lines of so many requests; null: nothing. What is written late is waited for. */
export async function missingRecords(
  { records }: { readonly records?: Records },
  requests: number,
): Promise<string | null> {
  if (records === undefined) return null
  const wanted = requests * records.perRequest
  const deadline = performance.now() + recordSeconds * 1000
  for (;;) {
    const { spans, refused } = await records.sink.count()
    let lines = 0
    for (const accessLog of records.accessLogs) lines += await countLines(accessLog)
    if (refused > 0) return `${refused} trace exports were no OTLP`
    if (spans >= wanted && lines >= wanted) return null
    if (performance.now() > deadline) return `${requests} requests left ${spans} spans and ${lines} log lines`
    await pause(500)
  }
}

async function startBareRelay(children: Children, upstream: number): Promise<RunningProxy> {
  const relay = await startRelay(children, upstream)
  return { name: 'relay', port: relay.port, heads: plainHeads(), processes: () => processesOf(relay) }
}

async function startNginx(children: Children, upstream: number): Promise<RunningProxy> {
  const { child, port } = await startNginxProxy(children, upstream)
  return { name: 'nginx', port, heads: plainHeads(), processes: treeOf(child) }
}

async function startBareEnvoy(children: Children, upstream: number): Promise<RunningProxy> {
  const { child, port } = await startEnvoy(children, 'envoy', upstream)
  return { name: 'envoy', port, heads: plainHeads(), processes: treeOf(child) }
}

async function startFullEnvoy(children: Children, upstream: number): Promise<RunningProxy> {
  const sink = await startTraceSink(children)
  const policies = { sinkPort: sink.grpcPort }
  const { child, port, accessLog } = await startEnvoy(children, 'envoy-policies', upstream, policies)
  const records = { sink, accessLogs: [accessLog], perRequest: 1 }
  return {
    name: 'envoy+policies',
    port,
    heads: plainHeads(),
    processes: treeOf(child),
    records,
  }
}

async function startMayfly(children: Children, upstream: number): Promise<RunningProxy> {
  const sink = await startTraceSink(children)
  const accessLog = join(children.folder, 'mayfly-access.json')
  const mesh = await startMesh(children, 'mayfly', [
    meshConfig({ engines: 1, accessLog, sinkPort: sink.httpPort }),
    telemetry(),
    service('api', `endpoint:127.0.0.1:${upstream}`),
    authorization('api', RULES),
  ])
  const heads = new HeadCycle([requestHead(mesh.host('api'))])
  const { processes, engines, gatewayPort: port } = mesh
  return {
    name: 'mayfly',
    port,
    heads,
    processes,
    engines,
    records: { sink, accessLogs: [accessLog], perRequest: 1 },
  }
}

function plainHeads(): HeadCycle {
  return new HeadCycle([requestHead(hostName)])
}

function treeOf({ pid }: { readonly pid: number }): () => number[] {
  return () => processTree(pid)
}
