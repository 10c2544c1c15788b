import type { Circuit } from './circuit.ts'
import { type Endpoint, newEndpoint, retire } from './endpoint.ts'
import type { Waiter, WaitRefusal } from './endpoint-set.ts'
import type { HostedSlice } from './node-messages.ts'
import type { Outcome } from './outlier-detector.ts'

/** Another node's engine may hear of an instance before this one does: so long may its request wait, in milliseconds. */
const WAIT_MS = 2_000
/** Requests that may wait so, in all. */
const MOST_WAITING = 1_024
/** Instances that were here and are gone, of which this is remembered: nobody waits for them. */
const MOST_GONE = 256

/** From where an exchange takes its instance. */
export interface EndpointSource {
  acquire(waiter: Waiter): void
  cancel(waiter: Waiter): void
  release(endpoint: Endpoint, waiter: Pick<Waiter, 'choice'>): void
  /** `endpoint` refused the waiter's connection before a byte was sent. */
  refused(endpoint: Endpoint, waiter: Waiter): void
  /** The same, and the waiter does not ask for another one now. */
  turnedDown(endpoint: Endpoint, waiter: Pick<Waiter, 'choice'>): void
  /** Closes idle connections until at most `most` are left. */
  trimIdle(most: number): void
  /** Notes for outlier detection what came of an attempt. */
  note(endpoint: Endpoint, circuit: Circuit, outcome: Outcome): void
}

/** The instances of one function on this node, for requests of other nodes' engines, which hold the slots for them. */
export class HostedInstances {
  readonly #instances = new Map<string, Endpoint>()
  readonly #waiting = new Map<Waiter, { id: string; timer: NodeJS.Timeout }>()
  /** The latest last. */
  readonly #gone = new Set<string>()

  update(slices: readonly HostedSlice[]): void {
    const before = new Map(this.#instances)
    this.#instances.clear()
    for (const slice of slices) {
      const { id, host, port } = slice
      this.#instances.set(id, before.get(id) ?? newEndpoint({ id, host, port, slots: null }))
      before.delete(id)
      this.#gone.delete(id)
    }
    for (const endpoint of before.values()) {
      retire(endpoint)
      this.#gone.add(endpoint.id)
    }
    for (const id of this.#gone) {
      if (this.#gone.size <= MOST_GONE) break
      this.#gone.delete(id)
    }
    for (const [waiter, { id }] of this.#waiting) {
      const endpoint = this.#instances.get(id)
      if (!endpoint) continue
      this.#stopWaiting(waiter)
      grant(endpoint, waiter)
    }
  }

  /** The source for a request whose sender chose the instance `id`. */
  source(id: string): EndpointSource {
    return {
      acquire: (waiter) => {
        const endpoint = this.#instances.get(id)
        if (endpoint) grant(endpoint, waiter)
        else if (this.#gone.has(id)) waiter.refused(notHere(id))
        else this.#wait(id, waiter)
      },
      cancel: (waiter) => this.#stopWaiting(waiter),
      release: (endpoint) => {
        endpoint.inFlight--
      },
      // The sending engine chooses among instances, so there is nothing to learn of them here.
      turnedDown: (endpoint) => {
        endpoint.inFlight--
      },
      trimIdle() {},
      note() {},
      refused: (endpoint, waiter) => {
        endpoint.inFlight--
        waiter.refused({ kind: 'unreachable', addresses: endpoint.address })
      },
    }
  }

  /** There are none, and no request waits for one. */
  get quiet(): boolean {
    return this.#instances.size + this.#waiting.size === 0
  }

  get endpoints(): Iterable<Endpoint> {
    return this.#instances.values()
  }

  close(): void {
    this.update([])
    for (const waiter of [...this.#waiting.keys()]) this.#giveUp(waiter)
  }

  #wait(id: string, waiter: Waiter): void {
    if (this.#waiting.size >= MOST_WAITING) return waiter.refused({ kind: 'queue-full', limit: MOST_WAITING })
    const timer = setTimeout(() => this.#giveUp(waiter), WAIT_MS)
    this.#waiting.set(waiter, { id, timer })
  }

  #giveUp(waiter: Waiter): void {
    const { id } = this.#waiting.get(waiter)!
    this.#stopWaiting(waiter)
    waiter.refused(notHere(id))
  }

  #stopWaiting(waiter: Waiter): void {
    clearTimeout(this.#waiting.get(waiter)?.timer)
    this.#waiting.delete(waiter)
  }
}

function notHere(id: string): WaitRefusal {
  return { kind: 'unreachable', addresses: `the instance ${id}` }
}

function grant(endpoint: Endpoint, waiter: Waiter): void {
  endpoint.inFlight++
  waiter.granted(endpoint)
}
