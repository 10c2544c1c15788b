import type { Cel } from '../api/cel.ts'
import type { CelScope, CelValue } from '../policy/evaluate-cel.ts'
import { evaluateCel } from '../policy/evaluate-cel.ts'
import { METRICS, type MetricPlan, type ModeObservation } from '../policy/observation-plan.ts'
import { UNKNOWN, type Workload, workloadOfPrincipal } from '../policy/workload.ts'
import { type Edge, type Label, labelText, standardLabels } from './metric-labels.ts'
import { type MetricRows, MetricTable } from './metrics-table.ts'

/** Most label sets of each metric in one engine; what would need more is counted as overflow and nowhere else. */
const MOST_LABEL_SETS = 4_096
/** So many other ends of a function's exchanges are remembered before they are looked up anew. */
const MOST_EDGES = 1_024
/** So many peers that are known by their principals alone are remembered. */
const MOST_PEERS = 1_024
/** A longer value of a tag is cut. */
const MOST_TAG = 256
const DISABLED = -2
const FLAG_BITS = 0x10_0000
/** So many rows of one edge are remembered before they are looked up anew. */
const MOST_ROWS = 4_096

/** The figures of an exchange that metrics count. */
export interface MeteredExchange {
  readonly status: number
  /** RESPONSE_FLAG_* bits. */
  readonly responseFlags: number
  readonly durationMs: number
  readonly bytesReceived: number
  readonly bytesSent: number
}

/** Rows of one label set in the tables of METRICS; below 0: not counted. */
type Rows = [number, number, number, number]

interface Reported {
  readonly edge: Edge
  /** By status and response flags, and the values of tags that depend on the exchange. */
  readonly rows: Map<number | string, Rows>
}

interface Observer {
  /** What tags depend on the exchange by, each once. */
  readonly changing: readonly Cel[]
  /** By the end that is not the observer's own, or the gateway's for it. */
  readonly ends: Map<Workload | null, Reported[]>
}

/** Istio's metrics of HTTP as one engine counts them. */
export class ExchangeMetrics {
  readonly counters = { labelSetsOverflowed: 0 }
  readonly #tables: readonly MetricTable[]
  readonly #peers = new Map<string, Workload>()
  /** By the observer's own workload as well, since functions that observe alike may share what says so. */
  readonly #observers = new WeakMap<Workload, WeakMap<ModeObservation, Observer>>()

  constructor(mostLabelSets = MOST_LABEL_SETS) {
    this.#tables = METRICS.map((_, index) => new MetricTable(index > 0, mostLabelSets))
  }

  /** Counts an exchange as the sidecar of `observer` saw it; `scope` is asked where a tag depends on the exchange. */
  count(observer: ModeObservation, edge: Edge, exchange: MeteredExchange, scope: CelScope): void {
    const [requests, duration, received, sent] = this.#rows(observer, edge, exchange, scope)
    const [requestCount, durations, requestSizes, responseSizes] = this.#tables
    if (requests >= 0) requestCount!.increment(requests)
    if (duration >= 0) durations!.observe(duration, exchange.durationMs)
    if (received >= 0) requestSizes!.observe(received, exchange.bytesReceived)
    if (sent >= 0) responseSizes!.observe(sent, exchange.bytesSent)
    if (requests === -1 || duration === -1 || received === -1 || sent === -1)
      this.counters.labelSetsOverflowed++
  }

  /** The workload of a peer of which only its principal is known. */
  workloadOf(principal: string): Workload {
    let known = this.#peers.get(principal)
    if (known === undefined) {
      if (this.#peers.size === MOST_PEERS) this.#peers.clear()
      known = workloadOfPrincipal(principal)
      this.#peers.set(principal, known)
    }
    return known
  }

  /** In the order of METRICS. */
  snapshot(): MetricRows[] {
    return this.#tables.map((table) => table.snapshot())
  }

  #rows(
    observer: ModeObservation,
    edge: Edge,
    { status, responseFlags }: MeteredExchange,
    scope: CelScope,
  ): Rows {
    const { changing, ends } = this.#observerOf(observer, ownEnd(edge))
    const { rows } = reportOf(ends, edge)
    const plain = status * FLAG_BITS + responseFlags
    const key = changing.length === 0 ? plain : keyOf(plain, changing, scope)
    const known = rows.get(key)
    if (known !== undefined) return known
    const made = this.#newRows(observer, standardLabels(edge, status, responseFlags), scope)
    if (rows.size === MOST_ROWS) rows.clear()
    rows.set(key, made)
    return made
  }

  #observerOf(observer: ModeObservation, own: Workload): Observer {
    let ofOwn = this.#observers.get(own)
    if (ofOwn === undefined) {
      ofOwn = new WeakMap()
      this.#observers.set(own, ofOwn)
    }
    let known = ofOwn.get(observer)
    if (known === undefined) {
      known = { changing: changingOf(observer), ends: new Map() }
      ofOwn.set(observer, known)
    } else if (known.ends.size > MOST_EDGES) known.ends.clear()
    return known
  }

  #newRows(observer: ModeObservation, standard: readonly Label[], scope: CelScope): Rows {
    let text: string | null = null
    const plain = () => {
      text ??= labelText(standard)
      return text
    }
    return this.#tables.map((table, index) => {
      const plan = observer.metrics[index]!
      if (plan.disabled) return DISABLED
      return table.row(plan.tags.length === 0 ? plain() : labelText(tagged(standard, plan, scope)))
    }) as Rows
  }
}

function changingOf({ metrics }: ModeObservation): Cel[] {
  const found = new Map<string, Cel>()
  for (const [, value] of metrics.flatMap(({ disabled, tags }) => (disabled ? [] : tags))) {
    if (value !== null && value.op !== 'literal') found.set(JSON.stringify(value), value)
  }
  return [...found.values()]
}

/** Values are kept apart by a length in front of each. */
function keyOf(plain: number, changing: readonly Cel[], scope: CelScope): string {
  let key = String(plain)
  for (const cel of changing) {
    const value = evaluateCel(cel, scope)
    key += typeof value === 'string' ? `|${value.length}:${value}` : `|${value}`
  }
  return key
}

function ownEnd({ reporter, source, destination }: Edge): Workload {
  return reporter === 'source' ? source : destination!
}

function reportOf(ends: Observer['ends'], edge: Edge): Reported {
  const end = edge.reporter === 'source' ? edge.destination : edge.source
  let reports = ends.get(end)
  if (reports === undefined) {
    reports = []
    ends.set(end, reports)
  }
  for (const one of reports) {
    if (one.edge.reporter === edge.reporter && one.edge.mutual === edge.mutual) return one
  }
  const made: Reported = { edge, rows: new Map() }
  reports.push(made)
  return made
}

function tagged(standard: readonly Label[], { tags }: MetricPlan, scope: CelScope): Iterable<Label> {
  const labels = new Map(standard)
  for (const [name, value] of tags) {
    if (value === null) labels.delete(name)
    else labels.set(name, tagText(evaluateCel(value, scope)))
  }
  return labels
}

/** As in Istio, what is absent is "unknown". The sidecar's bytes are read as UTF-8. */
function tagText(value: CelValue): string {
  if (value === null) return UNKNOWN
  return typeof value === 'string'
    ? Buffer.from(value.slice(0, MOST_TAG), 'latin1').toString('utf8')
    : String(value)
}
