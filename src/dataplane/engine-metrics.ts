import type { MetricRows } from './metrics-table.ts'

/** All that an engine has counted, for the mesh's metrics. Plain values, as it goes from process to process. */
export interface EngineMetrics {
  /** Istio's metrics, in the order of METRICS (policy/observation-plan.ts). */
  exchanges: MetricRows[]
  /** By part of the engine and name; a mapping instead of a number counts by reason. */
  counters: Record<string, Record<string, number | Record<string, number>>>
}

/** Whether a counter also falls: it tells what is held at the moment, and is gone with its engine. */
export function isGauge(part: string, name: string): boolean {
  return GAUGES.has(`${part}.${name}`)
}

const GAUGES: ReadonlySet<string> = new Set([
  'engine.connectionsOpen',
  'engine.mirrorsInFlight',
  'engine.requestsInFlight',
  'engine.requestsWaiting',
  'tokens.keySets',
  'tokens.keysWaiting',
  'tokens.tokensKnown',
])
