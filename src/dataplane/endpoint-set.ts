import type { Circuit } from './circuit.ts'
import { type Endpoint, newEndpoint, retire } from './endpoint.ts'
import type { DemandReport, EndpointSlice } from './engine-messages.ts'
import { type Choice, chooseInstance, trimIdle, usableFor } from './instance-choice.ts'
import { LoadBalancer } from './load-balancer.ts'
import type { Outcome } from './outlier-detector.ts'

export type { Endpoint } from './endpoint.ts'

/** A request that waits for an instance. Exactly one of the two is called, once, unless it was cancelled. */
export interface Waiter {
  /** How its instance is chosen; null: any that is free. */
  readonly choice: Choice | null
  granted(endpoint: Endpoint): void
  refused(refusal: WaitRefusal): void
}

export type WaitRefusal =
  | { kind: 'queue-full'; limit: number }
  | { kind: 'failing'; reason: string; retryAt: number }
  | { kind: 'unreachable'; addresses: string }
  /** Outlier detection leaves none of its instances, or its subset has none. */
  | { kind: 'unhealthy' }
  | { kind: 'deleted'; reason: string }

export interface EndpointSetEvents {
  /** A request began on a set that `active` did not name yet, or that `settled` has said to be quiet. */
  active(set: EndpointSet): void
  /** Control should hear now: a request waits, or slots that another engine may need have become idle. */
  urgent(key: string): void
  /** `slots` were taken back and no more than that many requests are in flight there now. */
  returned(key: string, endpoint: string, slots: number): void
}

/** How long an instance that refused a connection is passed over, in milliseconds. */
const DOWN_MS = 1_000

/** The instances of one function that this engine may use, and the bounded queue of requests that wait for one. */
export class EndpointSet {
  readonly #key: string
  readonly #maxQueued: () => number
  readonly #events: EndpointSetEvents
  readonly #waiting = new Set<Waiter>()
  /** Of requests that avoid instances and have no circuit. */
  readonly #balancer = new LoadBalancer({ kind: 'least-request' }, Math.random)
  #endpoints: Endpoint[] = []
  /** Taken out of use with requests under way there: should they come back, these count. */
  readonly #leaving = new Map<string, Endpoint>()
  #external = false
  #next = 0
  #inFlight = 0
  #begun = 0
  #active = false
  #reportedQuiet = true
  #failing: { reason: string; retryAt: number } | null = null
  #closed: string | null = null

  constructor(key: string, maxQueued: () => number, events: EndpointSetEvents) {
    this.#key = key
    this.#maxQueued = maxQueued
    this.#events = events
  }

  /** Gives the waiter an instance now, or when one is free. Requests are served in the order in which they came. */
  acquire(waiter: Waiter): void {
    this.#begun++
    if (!this.#active) {
      this.#active = true
      this.#events.active(this)
    }
    this.#serveOrQueue(waiter)
  }

  /** The waiter does not wait any more. */
  cancel(waiter: Waiter): void {
    this.#waiting.delete(waiter)
  }

  /** The request that was granted `endpoint` has ended there. */
  release(endpoint: Endpoint, { choice }: Pick<Waiter, 'choice'>): void {
    if (choice?.circuit) choice.circuit.connections--
    endpoint.inFlight--
    this.#inFlight--
    if (endpoint.inFlight === endpoint.slots) {
      this.#events.returned(this.#key, endpoint.id, endpoint.slots)
    }
    if (endpoint.inFlight === 0 && this.#leaving.get(endpoint.id) === endpoint)
      this.#leaving.delete(endpoint.id)
    this.#serve()
    if (this.#inFlight === 0 && Number.isFinite(endpoint.slots)) this.#events.urgent(this.#key)
  }

  /** `endpoint` refused the waiter's connection before a byte was sent: gives it another one. */
  refused(endpoint: Endpoint, waiter: Waiter): void {
    this.turnedDown(endpoint, waiter)
    this.#serveOrQueue(waiter)
  }

  /** The same, and the waiter does not ask for another one now. */
  turnedDown(endpoint: Endpoint, waiter: Pick<Waiter, 'choice'>): void {
    endpoint.downUntil = performance.now() + DOWN_MS
    this.release(endpoint, waiter)
  }

  /** A request by this circuit would not have to wait: an idle connection to a free instance is there. */
  isReady(circuit: Circuit): boolean {
    if (this.#waiting.size > 0 || circuit.full) return false
    const usable = usableFor(this.#endpoints, circuit)
    const isReady = ({ node, idle }: Endpoint) => node !== null || idle.length > 0
    return this.#endpoints.some((endpoint) => isReady(endpoint) && usable(endpoint))
  }

  /** Closes idle connections until at most `most` are left. */
  trimIdle(most: number): void {
    trimIdle(this.#endpoints, most)
  }

  /** Notes for outlier detection what came of an attempt. */
  note(endpoint: Endpoint, circuit: Circuit, outcome: Outcome): void {
    circuit.note(endpoint, outcome, this.#endpoints)
  }

  update(slices: EndpointSlice[], external: boolean): void {
    this.#external = external
    const before = new Map(this.#endpoints.map((endpoint) => [endpoint.id, endpoint]))
    this.#endpoints = slices.map((slice) => {
      const endpoint = before.get(slice.id) ?? this.#endpointOf(slice)
      before.delete(slice.id)
      endpoint.slots = slice.slots ?? Number.POSITIVE_INFINITY
      return endpoint
    })
    for (const endpoint of before.values()) this.#takeOut(endpoint)
    if (slices.length > 0) this.#failing = null
    for (const slice of slices) {
      const endpoint = this.#endpoints.find((one) => one.id === slice.id)!
      if (slice.slots !== null && endpoint.inFlight <= slice.slots) {
        this.#events.returned(this.#key, slice.id, slice.slots)
      }
    }
    this.#serve()
  }

  /** No instance can be started: those who wait are told, and so is who comes before `retryAt`. */
  fail(reason: string, retryAt: number): void {
    this.#failing = { reason, retryAt }
    for (const waiter of this.#takeAll()) waiter.refused({ kind: 'failing', reason, retryAt })
  }

  /** Those who wait may try again instances that refused connections a while ago. Call it now and then. */
  retry(): void {
    if (this.#waiting.size === 0) return
    if (this.#unreachable()) {
      for (const waiter of this.#takeAll()) waiter.refused(this.#unreachableRefusal())
    } else this.#serve()
  }

  /** The function is gone: nobody new is served, and control hears when the last request has ended at each instance. */
  close(reason: string): void {
    this.#closed = reason
    for (const endpoint of this.#endpoints) {
      retire(endpoint)
      endpoint.slots = 0
      if (endpoint.inFlight === 0) this.#events.returned(this.#key, endpoint.id, 0)
    }
    this.#endpoints = []
    for (const waiter of this.#takeAll()) waiter.refused({ kind: 'deleted', reason })
  }

  /** Takes the figures since the last report; null where all are zero as they were in the last one. */
  report(): DemandReport | null {
    const report = {
      key: this.#key,
      waiting: this.#waiting.size,
      inFlight: this.#inFlight,
      begun: this.#begun,
    }
    this.#begun = 0
    const quiet = report.waiting + report.inFlight + report.begun === 0
    if (quiet && this.#reportedQuiet) return null
    this.#reportedQuiet = quiet
    return report
  }

  /** True where nothing is under way and no idle connection is kept: `active` is called when that changes. */
  settled(): boolean {
    if (this.#waiting.size + this.#inFlight + this.#begun > 0) return false
    if (this.#endpoints.some((endpoint) => endpoint.idle.length > 0)) return false
    this.#active = false
    return true
  }

  /** No request waits, is under way, or is still to be told of. */
  get quiet(): boolean {
    return this.#waiting.size + this.#inFlight + this.#begun + this.#leaving.size === 0
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints
  }

  /** The same instance, back in use, with what is under way there since before. */
  #endpointOf(slice: EndpointSlice): Endpoint {
    const endpoint = newEndpoint(slice)
    const left = this.#leaving.get(slice.id)
    if (!left) return endpoint
    this.#leaving.delete(slice.id)
    left.gone = false
    left.node = endpoint.node
    return left
  }

  /** Control hears when nothing of it is in use any more, as it may come back. */
  #takeOut(endpoint: Endpoint): void {
    const wasInUse = endpoint.inFlight > 0 || (endpoint.slots > 0 && Number.isFinite(endpoint.slots))
    retire(endpoint)
    endpoint.slots = 0
    if (endpoint.inFlight > 0) this.#leaving.set(endpoint.id, endpoint)
    else if (wasInUse) this.#events.returned(this.#key, endpoint.id, 0)
  }

  #serveOrQueue(waiter: Waiter): void {
    const refusal = this.#refusal() ?? this.#unhealthy(waiter)
    if (refusal) return waiter.refused(refusal)
    const endpoint = this.#waiting.size === 0 ? this.#chooseFor(waiter) : null
    if (endpoint) return this.#grant(endpoint, waiter)
    const limit = this.#maxQueued()
    if (this.#waiting.size >= limit) return waiter.refused({ kind: 'queue-full', limit })
    this.#waiting.add(waiter)
    // Those before it may wait for their own circuit alone.
    if (this.#waiting.size > 1) this.#serve()
    if (this.#waiting.has(waiter)) this.#events.urgent(this.#key)
  }

  #unhealthy({ choice }: Waiter): WaitRefusal | null {
    return choice?.circuit?.noneHealthy(this.#endpoints) ? { kind: 'unhealthy' } : null
  }

  #refusal(): WaitRefusal | null {
    if (this.#closed !== null) return { kind: 'deleted', reason: this.#closed }
    if (this.#failing && this.#endpoints.length === 0 && Date.now() < this.#failing.retryAt) {
      return { kind: 'failing', ...this.#failing }
    }
    return this.#unreachable() ? this.#unreachableRefusal() : null
  }

  /** Nobody here starts external instances, so waiting would not help; each is tried again after DOWN_MS. */
  #unreachable(): boolean {
    // With none at all, it is another engine that may use them: waiting asks for a part.
    if (!this.#external || this.#endpoints.length === 0) return false
    const now = performance.now()
    return this.#endpoints.every((endpoint) => endpoint.downUntil > now)
  }

  #unreachableRefusal(): WaitRefusal {
    return {
      kind: 'unreachable',
      addresses: this.#endpoints.map((endpoint) => endpoint.address).join(', '),
    }
  }

  #chooseFor({ choice }: Waiter): Endpoint | null {
    return choice === null ? this.#choose() : chooseInstance(this.#endpoints, choice, this.#balancer)
  }

  /** The instance with the fewest requests that has a free slot; in turn among equals. */
  #choose(): Endpoint | null {
    const endpoints = this.#endpoints
    let best: Endpoint | null = null
    let now = 0
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[(this.#next + i) % endpoints.length]!
      if (endpoint.inFlight >= endpoint.slots || (best && endpoint.inFlight >= best.inFlight)) continue
      if (endpoint.downUntil > 0) {
        now ||= performance.now()
        if (endpoint.downUntil > now) continue
        endpoint.downUntil = 0
      }
      best = endpoint
      if (best.inFlight === 0) break
    }
    this.#next = (this.#next + 1) % Math.max(1, endpoints.length)
    return best
  }

  #grant(endpoint: Endpoint, waiter: Waiter): void {
    endpoint.inFlight++
    this.#inFlight++
    if (waiter.choice?.circuit) waiter.choice.circuit.connections++
    waiter.granted(endpoint)
  }

  #serve(): void {
    for (const waiter of this.#waiting) {
      const refusal = this.#unhealthy(waiter)
      const endpoint = refusal ? null : this.#chooseFor(waiter)
      // What is not free for one that takes any is free for nobody.
      if (!refusal && !endpoint && waiter.choice === null) return
      if (!refusal && !endpoint) continue
      this.#waiting.delete(waiter)
      if (endpoint) this.#grant(endpoint, waiter)
      else waiter.refused(refusal!)
    }
  }

  #takeAll(): Waiter[] {
    const waiters = [...this.#waiting]
    this.#waiting.clear()
    return waiters
  }
}
