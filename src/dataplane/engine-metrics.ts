import type { MetricRows } from './metrics-table.ts'

/** All that an engine has counted, for the mesh's metrics. Plain values, as it goes from process to process. */
export interface EngineMetrics {
  /** Istio's metrics, in the order of METRICS (policy/observation-plan.ts). */
  exchanges: MetricRows[]
  /** By part of the engine and name; a mapping instead of a number counts by reason. All grow but GAUGES. */
  counters: Record<string, Record<string, number | Record<string, number>>>
}

/** "PART.NAME" of counters that also fall. */
export const GAUGES: ReadonlySet<string> = new Set([
  'engine.connectionsOpen',
  'engine.requestsInFlight',
  'engine.requestsWaiting',
])
