import type { BalancerSettings } from '../policy/traffic-settings.ts'
import { type HashTable, hashRing, maglevTable } from './consistent-hash.ts'
import type { Endpoint } from './endpoint-set.ts'

/** Chooses among the instances that a request may use. It is asked with all instances, so that places do not shift with their load. */
export class LoadBalancer {
  readonly #settings: BalancerSettings
  readonly #random: () => number
  #next = 0
  /** What the table below was made of. */
  #members: readonly Endpoint[] = []
  #table: HashTable<Endpoint> | null = null

  /** `random` gives numbers from 0 up to, without, 1. */
  constructor(settings: BalancerSettings, random: () => number) {
    this.#settings = settings
    this.#random = random
  }

  /** `hash` is of the request's key, null where it has none. */
  choose(
    endpoints: readonly Endpoint[],
    usable: (endpoint: Endpoint) => boolean,
    hash: number | null,
  ): Endpoint | null {
    switch (this.#settings.kind) {
      case 'least-request':
        return this.#leastRequest(endpoints, usable)
      case 'round-robin':
        return this.#roundRobin(endpoints, usable)
      case 'random':
        return this.#anyOf(endpoints, usable)
      default:
        // A key that is full or left out falls to the next one in the table, as if its instance were not there.
        return hash === null ? this.#anyOf(endpoints, usable) : this.#tableOf(endpoints).find(hash, usable)
    }
  }

  #leastRequest(endpoints: readonly Endpoint[], usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    let best: Endpoint | null = null
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[(this.#next + i) % endpoints.length]!
      if (best && endpoint.inFlight >= best.inFlight) continue
      if (usable(endpoint)) best = endpoint
    }
    this.#next = (this.#next + 1) % Math.max(1, endpoints.length)
    return best
  }

  #roundRobin(endpoints: readonly Endpoint[], usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    for (let i = 0; i < endpoints.length; i++) {
      const place = (this.#next + i) % endpoints.length
      if (!usable(endpoints[place]!)) continue
      this.#next = (place + 1) % endpoints.length
      return endpoints[place]!
    }
    return null
  }

  #anyOf(endpoints: readonly Endpoint[], usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    const fitting = endpoints.filter(usable)
    return fitting[Math.floor(this.#random() * fitting.length)] ?? null
  }

  #tableOf(endpoints: readonly Endpoint[]): HashTable<Endpoint> {
    const same =
      endpoints.length === this.#members.length &&
      endpoints.every((endpoint, i) => endpoint === this.#members[i])
    if (this.#table && same) return this.#table
    this.#members = [...endpoints]
    const keys = hashKeys(endpoints)
    const keyOf = (endpoint: Endpoint) => keys.get(endpoint)!
    this.#table =
      this.#settings.kind === 'maglev'
        ? maglevTable(endpoints, keyOf, this.#settings.tableSize)
        : hashRing(endpoints, keyOf, this.#settings.kind === 'ring-hash' ? this.#settings.minimumSize : 1)
    return this.#table
  }
}

/** By address, so that every engine places them alike; instances behind one address are told apart by their ids. */
function hashKeys(endpoints: readonly Endpoint[]): Map<Endpoint, string> {
  const counts = new Map<string, number>()
  for (const { address } of endpoints) counts.set(address, (counts.get(address) ?? 0) + 1)
  return new Map(
    endpoints.map((endpoint) => {
      const { address, id } = endpoint
      return [endpoint, counts.get(address) === 1 ? address : `${address}/${id}`]
    }),
  )
}
