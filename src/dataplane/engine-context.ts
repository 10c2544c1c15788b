import type { DecisionInputs } from './decision-inputs.ts'
import type { DecisionRing } from './decision-ring.ts'
import type { EngineCounters } from './engine-counters.ts'
import type { MeshSlice } from './engine-messages.ts'
import type { EngineNode } from './engine-node.ts'
import type { ExchangeMetrics } from './exchange-metrics.ts'
import type { FunctionLookup } from './function-lookup.ts'
import type { FunctionTable } from './function-table.ts'
import type { Answerers } from './needs.ts'
import type { RandomBytes } from './random-bytes.ts'
import type { Sidecars } from './sidecar.ts'
import type { SpanFacts } from './span-facts.ts'

/** What judges heads: sidecars, or a stand-in for them in a study. */
export type Judge = Pick<
  Sidecars,
  'open' | 'judge' | 'abandon' | 'respond' | 'reply' | 'trailers' | 'maxHeadBytes' | 'draining' | 'relocate'
> & {
  readonly counters: object
  /** Where the inputs of decisions go; a stand-in keeps none. */
  inputs?: DecisionInputs | null
  redecide?: Sidecars['redecide']
}

/** What every connection of an engine shares. One engine is one thread, so nothing here is locked. */
export interface EngineContext {
  readonly sidecars: Judge
  readonly functions: FunctionTable
  readonly lookup: FunctionLookup
  readonly counters: EngineCounters
  readonly answerers: Answerers
  readonly decisions: DecisionRing
  /** What decisions were made of, to make them once more. */
  readonly inputs: DecisionInputs
  readonly metrics: ExchangeMetrics
  readonly random: RandomBytes
  /** Writes one access-log line (without its newline), whose bytes are the line's only during the call. */
  readonly writeLog: (line: Buffer) => void
  /** Takes a span that has ended. */
  readonly recordSpan: (facts: SpanFacts) => void
  mesh: MeshSlice
  draining: boolean
  /** null: the mesh has one node. */
  node: EngineNode | null
}
