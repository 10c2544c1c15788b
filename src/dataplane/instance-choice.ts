import type { Circuit } from './circuit.ts'
import type { Endpoint } from './endpoint-set.ts'
import type { LoadBalancer } from './load-balancer.ts'

/** How the instance for one attempt of a request is chosen. */
export interface Choice {
  /** null: no DestinationRule applies. */
  readonly circuit: Circuit | null
  /** Of the request's key (consistent hash); null: it has none. */
  readonly hash: number | null
  /** Instances that earlier attempts of the request were sent to: others are preferred. */
  readonly tried: ReadonlySet<Endpoint> | null
}

/** The instance for an attempt, null where it has to wait for one. `balancer` serves where no circuit has its own. */
export function chooseInstance(
  endpoints: readonly Endpoint[],
  { circuit, hash, tried }: Choice,
  balancer: LoadBalancer,
): Endpoint | null {
  if (circuit?.full) return null
  const usable = usableFor(endpoints, circuit)
  const chooser = circuit?.balancer ?? balancer
  if (tried && tried.size > 0) {
    const other = chooser.choose(endpoints, (one) => !tried.has(one) && usable(one), hash)
    if (other) return other
  }
  return chooser.choose(endpoints, usable, hash)
}

/** Which instances take a request now. */
export function usableFor(
  endpoints: readonly Endpoint[],
  circuit: Circuit | null,
): (endpoint: Endpoint) => boolean {
  const healthy = circuit?.healthy(endpoints) ?? null
  return (endpoint) =>
    endpoint.inFlight < endpoint.slots &&
    (endpoint.downUntil === 0 || endpoint.downUntil <= performance.now()) &&
    (healthy === null || healthy(endpoint))
}

/** Closes idle connections, the longest unused of each instance first, until at most `most` are left. */
export function trimIdle(endpoints: readonly Endpoint[], most: number): void {
  let count = 0
  for (const { idle } of endpoints) count += idle.length
  for (const { idle } of endpoints) {
    for (; count > most && idle[0]; count--) idle[0].destroy()
  }
}
