import { type TrafficPlan, type TrafficSlot, viewOf } from '../policy/traffic-plan.ts'
import { DEFAULT_SETTINGS, type TrafficSettings } from '../policy/traffic-settings.ts'
import {
  CIRCUIT_ACTIVE,
  CIRCUIT_PENDING,
  CIRCUIT_READY,
  CIRCUIT_SIZE,
  CIRCUITS_HEADER,
  CIRCUITS_SLOT,
  CIRCUITS_VIEW,
} from '../sidecar/layout/breaker.ts'
import type { Endpoint } from './endpoint-set.ts'
import { LoadBalancer } from './load-balancer.ts'
import { type Outcome, type OutlierCounters, OutlierDetector } from './outlier-detector.ts'
import type { UpstreamLimits } from './upstream-connection.ts'

/** What circuits need of their engine. Numbers from `random` are from 0 up to, without, 1; `now` is milliseconds of any one clock. */
export interface CircuitSurroundings {
  readonly counters: OutlierCounters
  random(): number
  now(): number
}

/**
 * Calls of one kind of client to a function, or to a subset of it, in one engine: what is under way, and how an instance is
 * chosen for them (Envoy's cluster).
 */
export class Circuit {
  readonly settings: TrafficSettings
  readonly hasInstances: boolean
  readonly balancer: LoadBalancer
  readonly #outliers: OutlierDetector<Endpoint> | null
  readonly #now: () => number
  #limitsOf: UpstreamLimits | null = null
  #limits: UpstreamLimits | null = null
  /** Requests that have a connection to an instance. */
  active = 0
  /** Requests that wait for an instance or a connection. */
  pending = 0
  /** Instances granted: connections in use, or being made. */
  connections = 0
  /** Retries from the moment they are decided until their attempt has come to an end. */
  retries = 0

  constructor({ settings, hasInstances }: TrafficSlot, { counters, random, now }: CircuitSurroundings) {
    this.settings = settings
    this.hasInstances = hasInstances
    this.balancer = new LoadBalancer(settings.balancer, random)
    this.#now = now
    this.#outliers = settings.outlier ? new OutlierDetector(settings.outlier, counters, now()) : null
  }

  /** No more connections may be opened. */
  get full(): boolean {
    const { maxConnections } = this.settings.pool
    return maxConnections !== null && this.connections >= maxConnections
  }

  /** The budget of retries has room. */
  get mayRetry(): boolean {
    const { retryBudget } = this.settings
    if (retryBudget.kind === 'fixed') return this.retries < retryBudget.most
    const part = Math.floor((retryBudget.percent / 100) * (this.active + this.pending))
    return this.retries < Math.max(retryBudget.least, part)
  }

  note(endpoint: Endpoint, outcome: Outcome, endpoints: readonly Endpoint[]): void {
    const outliers = this.#outliers
    if (outliers?.heeds(outcome)) outliers.note(endpoint, outcome, endpoints, this.#now())
  }

  /** Which instances outlier detection leaves; null: all. */
  healthy(endpoints: readonly Endpoint[]): ((endpoint: Endpoint) => boolean) | null {
    const outliers = this.#outliers
    return outliers?.anyEjected ? outliers.filter(endpoints, this.#now()) : null
  }

  /** An engine's limits on connections, with what the DestinationRule says instead. */
  upstreamLimits(limits: UpstreamLimits): UpstreamLimits {
    // They change with the mesh's settings alone, and every request asks for them.
    if (this.#limitsOf === limits) return this.#limits!
    const { pool } = this.settings
    this.#limitsOf = limits
    this.#limits = {
      maxIdleUpstreams: limits.maxIdleUpstreams,
      upstreamIdleMs: limits.upstreamIdleMs,
      connectTimeoutMs: pool.connectTimeoutMs ?? limits.connectTimeoutMs,
      ...(pool.idleMs !== null && { idleMs: pool.idleMs === 0 ? Number.POSITIVE_INFINITY : pool.idleMs }),
      maxUses: pool.maxRequestsPerConnection,
      maxAgeMs: pool.maxConnectionMs,
      keepAlive: pool.keepAlive,
    }
    return this.#limits
  }

  isEjected(endpoint: Endpoint): boolean {
    return this.#outliers?.isEjected(endpoint) ?? false
  }

  /** There are instances, and none of them may be used until outlier detection takes one back. */
  noneHealthy(endpoints: readonly Endpoint[]): boolean {
    if (!this.hasInstances) return true
    const healthy = this.healthy(endpoints)
    return healthy !== null && !endpoints.some(healthy)
  }
}

/** A function's circuits in an engine, made when they are first used. */
export class Circuits {
  readonly #plan: TrafficPlan
  readonly #surroundings: CircuitSurroundings
  readonly #circuits: (Circuit | undefined)[] = []
  readonly #slots: number
  readonly #injected: Buffer

  constructor(plan: TrafficPlan | null, surroundings: CircuitSurroundings) {
    this.#plan = plan ?? DEFAULT_PLAN
    this.#surroundings = surroundings
    this.#slots = this.#plan.subsets.length + 1
    this.#injected = Buffer.alloc(CIRCUITS_HEADER + this.#slots * CIRCUIT_SIZE)
  }

  /** That of calls of `caller` ("namespace/name"; null: from outside) to a subset, null: to the whole function. */
  of(caller: string | null, subset: string | null): Circuit {
    return this.#at(viewOf(this.#plan, caller), this.slot(subset))
  }

  slot(subset: string | null): number {
    return subset === null ? 0 : this.#plan.subsets.indexOf(subset) + 1
  }

  /** The record at IN_CIRCUITS_PTR (layout/breaker.ts); its bytes are good until the next call. */
  inject(caller: string | null, slot: number, isReady: (circuit: Circuit) => boolean): Buffer {
    const view = viewOf(this.#plan, caller)
    const bytes = this.#injected
    bytes.writeUInt32LE(view, CIRCUITS_VIEW)
    bytes.writeUInt32LE(slot, CIRCUITS_SLOT)
    for (let i = 0; i < this.#slots; i++) {
      const circuit = this.#at(view, i)
      const at = CIRCUITS_HEADER + i * CIRCUIT_SIZE
      bytes.writeUInt32LE(circuit.active, at + CIRCUIT_ACTIVE)
      bytes.writeUInt32LE(circuit.pending, at + CIRCUIT_PENDING)
      // Whether a connection is ready matters only where no more requests may wait.
      const { maxPendingRequests } = circuit.settings.pool
      const asked = maxPendingRequests !== null && circuit.pending >= maxPendingRequests
      bytes.writeUInt32LE(asked && isReady(circuit) ? 1 : 0, at + CIRCUIT_READY)
    }
    return bytes
  }

  #at(view: number, slot: number): Circuit {
    const place = view * this.#slots + slot
    const known = this.#circuits[place]
    if (known) return known
    const circuit = new Circuit(this.#plan.views[view]!.slots[slot]!, this.#surroundings)
    this.#circuits[place] = circuit
    return circuit
  }
}

const DEFAULT_PLAN: TrafficPlan = {
  subsets: [],
  views: [{ slots: [{ settings: DEFAULT_SETTINGS, hasInstances: true }] }],
  byCaller: {},
  byNamespace: {},
  otherwise: 0,
  gateway: 0,
}
