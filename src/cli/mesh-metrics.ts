import type { Isolation } from '../runtime/isolation/isolation.ts'
import { MetricsCollector } from '../telemetry/metrics-collector.ts'
import { startMetricsServer } from '../telemetry/metrics-server.ts'
import { type MeshMetric, metricsText } from '../telemetry/metrics-text.ts'
import type { RunningMesh } from './running-mesh.ts'
import { version } from './version.ts'

export interface ServedMetrics {
  url: string
  close(): void
}

/** Serves a mesh's metrics for Prometheus; rejects where it can't listen. */
export async function serveMetrics(
  running: RunningMesh,
  address: { host: string; port: number },
): Promise<ServedMetrics> {
  const { mesh } = running
  const collector = new MetricsCollector({
    engines: () => mesh.engines().map(({ engine }) => engine),
    ask: () => mesh.query({ kind: 'metrics' }),
  })
  const text = async () => {
    const totals = await collector.collect()
    return metricsText(totals, meshMetrics(running, collector.enginesEnded, totals.overflowed))
  }
  try {
    const { server, port } = await startMetricsServer(address, text)
    const host = address.host.includes(':') ? `[${address.host}]` : address.host
    return {
      url: `http://${host}:${port}/metrics`,
      close() {
        collector.close()
        server.close()
        server.closeAllConnections()
      },
    }
  } catch (error) {
    collector.close()
    throw error
  }
}

/** What control knows. */
function meshMetrics({ mesh, runtime }: RunningMesh, enginesEnded: number, overflowed: number): MeshMetric[] {
  const one = (name: string, help: string, type: 'counter' | 'gauge', value: number): MeshMetric => ({
    name,
    help,
    type,
    values: [{ labels: {}, value }],
  })
  const functions = [...mesh.compiled.functions.keys()]
  const { user, system } = process.cpuUsage()
  return [
    {
      name: 'mayfly_build_info',
      help: 'The version that runs.',
      type: 'gauge',
      values: [{ labels: { version: version() }, value: 1 }],
    },
    one('mayfly_engines', 'Engines.', 'gauge', mesh.engines().length),
    one('mayfly_engines_ended_total', 'Engines that ended and were replaced.', 'counter', enginesEnded),
    one('mayfly_functions', 'Functions.', 'gauge', functions.length),
    one('mayfly_policies', 'Policies in force.', 'gauge', mesh.compiled.policies.size),
    one('mayfly_instances_started_total', 'Instances that were started.', 'counter', mesh.instancesStarted),
    {
      name: 'mayfly_instances',
      help: 'Instances by function and state.',
      type: 'gauge',
      values: instances(mesh, functions),
    },
    {
      name: 'mayfly_quota_authority_total',
      help: 'What whoever leases the requests of rate limits has counted.',
      type: 'counter',
      values: Object.entries(mesh.quotaCounters).map(([event, value]) => ({ labels: { event }, value })),
    },
    ...isolationMetrics(runtime.isolation),
    one(
      'mayfly_label_sets_left_out',
      'Label sets that are left out of these metrics: there are too many.',
      'gauge',
      overflowed,
    ),
    one(
      'process_cpu_seconds_total',
      "CPU time of the mesh's process, without engines and functions.",
      'counter',
      (user + system) / 1e6,
    ),
    one('process_resident_memory_bytes', 'Its resident memory.', 'gauge', process.memoryUsage.rss()),
    one(
      'process_start_time_seconds',
      'When it started, in seconds since the epoch.',
      'gauge',
      Math.round(Date.now() / 1000 - process.uptime()),
    ),
  ]
}

/** Nothing where instances are plain processes. */
function isolationMetrics(isolation: Isolation | null): MeshMetric[] {
  if (isolation === null) return []
  const { inUse, ...events } = isolation.counters
  return [
    {
      name: 'mayfly_compartments',
      help: 'Compartments for isolated instances, those that are kept ready included.',
      type: 'gauge',
      values: [{ labels: {}, value: inUse }],
    },
    {
      name: 'mayfly_isolation_total',
      help: 'What happened to compartments, to their questions for names and to compiled code.',
      type: 'counter',
      values: Object.entries(events).map(([event, value]) => ({ labels: { event }, value })),
    },
  ]
}

function instances(mesh: RunningMesh['mesh'], functions: readonly string[]): MeshMetric['values'] {
  return functions.flatMap((key) => {
    const states = new Map<string, number>()
    for (const { state } of mesh.controller(key)?.instances() ?? [])
      states.set(state, (states.get(state) ?? 0) + 1)
    const [namespace, name] = key.split('/') as [string, string]
    return [...states].map(([state, value]) => ({ labels: { namespace, function: name, state }, value }))
  })
}
