import type { PlannedRoute, RouteDestination, RoutePlan } from '../policy/route-plan.ts'
import {
  NO_DESTINATION,
  ROUTE_BITS,
  ROUTE_DELAYED,
  ROUTE_DESTINATION,
  ROUTE_MIRROR,
  ROUTE_NUMBER,
  ROUTE_SIZE,
} from '../sidecar/layout/route-outcome.ts'
import { BadOutput } from './sidecar-output.ts'

/** The route that a request takes: what a sidecar's numbers mean in the plan of its function. */
export interface TakenRoute {
  readonly plan: RoutePlan
  readonly route: PlannedRoute
  /** null: the sidecar itself has answered. */
  readonly destination: RouteDestination | null
  /** Milliseconds by which the request, or its denial, is held back; 0: not at all. */
  readonly delayMs: number
  readonly mirrors: readonly RouteDestination[]
}

/** Reads a sidecar's OUT_ROUTE record, which is hostile; null where it is empty. Throws BadOutput. */
export function readTakenRoute(record: Buffer, plan: RoutePlan | null): TakenRoute | null {
  if (record.length === 0) return null
  if (plan === null || record.length !== ROUTE_SIZE)
    throw new BadOutput('a route is taken where there is none')
  const route = plan.routes[record.readUInt32LE(ROUTE_NUMBER)]
  if (!route) throw new BadOutput(`route ${record.readUInt32LE(ROUTE_NUMBER)} is not in the plan`)
  const number = record.readUInt32LE(ROUTE_DESTINATION)
  const destination = number === NO_DESTINATION ? null : route.destinations[number]
  if (destination === undefined) throw new BadOutput(`destination ${number} is not in the plan`)
  const bits = record.readUInt32LE(ROUTE_BITS)
  const known = (ROUTE_MIRROR << route.mirrors.length) - ROUTE_MIRROR + ROUTE_DELAYED
  if ((bits & ~known) !== 0) throw new BadOutput(`the route's bits are ${bits}`)
  return {
    plan,
    route,
    destination,
    delayMs: (bits & ROUTE_DELAYED) !== 0 ? route.delayMs : 0,
    mirrors: route.mirrors.filter((_, i) => (bits & (ROUTE_MIRROR << i)) !== 0),
  }
}
