// Requests whose route leads to another function than the one that was called: that function's own sidecar judges them, as
// a call of the same client.

import type { RouteDestination } from '../../policy/route-plan.ts'
import { DIRECTION_INGRESS, IN_FLAG_SERVE } from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import type { FunctionEntry } from '../function-table.ts'
import { type Client, type Duty, open, type Sitting } from '../needs.ts'
import type { Decision } from '../sidecar.ts'
import { BadOutput } from '../sidecar-output.ts'
import { readTakenRoute, type TakenRoute } from '../taken-route.ts'

/** What the other function's sidecar is to judge, or why none can. */
export type OtherFunction =
  | { kind: 'opened'; entry: FunctionEntry; sitting: Sitting; client: Client; duty: Duty }
  | { kind: 'unknown'; key: string }
  | { kind: 'failed' }

/** The route that the callee's sidecar has taken; 'bad' where its word of it cannot be right. */
export function takenRoute(callee: FunctionEntry, decision: Decision): TakenRoute | null | 'bad' {
  if (decision.kind === 'failed') return null
  const { route } = decision.kind === 'denied' ? decision.denial : decision
  try {
    return readTakenRoute(route, callee.slice.routes)
  } catch (error) {
    if (error instanceof BadOutput) return 'bad'
    throw error
  }
}

/** Opens the head that the route's sidecar wrote for the function that the route leads to; null where that is the callee itself. */
export function openOther(
  engine: EngineContext,
  outer: Sitting,
  from: Client,
  callee: FunctionEntry,
  head: Buffer,
  taken: TakenRoute | null,
): OtherFunction | null {
  const destination = taken?.destination
  if (!destination || destination.function === callee.slice.key) return null
  return openDestination(engine, outer, from, destination, head)
}

/** Opens the head that a route's sidecar wrote for any destination. */
export function openDestination(
  engine: EngineContext,
  outer: Sitting,
  from: Client,
  { function: key, subset }: RouteDestination,
  head: Buffer,
): OtherFunction {
  const entry = engine.functions.get(key)
  if (!entry) return { kind: 'unknown', key }
  // As on another node: what the first sidecar wrote of the request's way holds.
  const facts = { ...outer.facts, forwarded: true }
  const sitting = { received: head, facts, now: outer.now, random: engine.random.take() }
  const opened = open(engine, sitting)
  if (opened.kind !== 'opened') return { kind: 'failed' }
  // The port that was called was the callee's; the other one is called at its own.
  if (opened.port !== 0 && facts.direction !== DIRECTION_INGRESS) {
    facts.localPort = opened.port
    engine.sidecars.relocate(facts)
  }
  const slot = subset === null ? 0 : (entry.slice.traffic?.subsets.indexOf(subset) ?? -1) + 1
  const client = { caller: from.caller, slot }
  // Where instances may be on other nodes, what protects the function is judged there.
  const sides = engine.node?.forwards ? 0 : IN_FLAG_SERVE
  const duty = { entry, target: key, targetPort: entry.slice.port, sides, client }
  return { kind: 'opened', entry, sitting, client, duty }
}
