// Copies of a request that its route sends to other destinations as well. They are judged as calls of the same client by
// the policies of whom they go to, are sent once, and nobody hears of their answers.

import type { RouteDestination } from '../../policy/route-plan.ts'
import { IN_FLAG_ROUTE, IN_FLAG_SHADOW } from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import type { FunctionEntry } from '../function-table.ts'
import { type Client, judge, open, type Sitting } from '../needs.ts'
import type { ConnectionFacts } from '../sidecar.ts'
import type { TakenRoute } from '../taken-route.ts'
import { type Admission, type Admitted, judgedStage } from './admission.ts'
import { MirroredExchange } from './mirrored-exchange.ts'
import { openDestination } from './other-function.ts'
import { settle } from './settlement.ts'

/** What copies are made of. */
export interface Mirroring {
  /** What the sidecar judged that took the route, and whose it was. */
  sitting: Sitting
  routed: FunctionEntry
  client: Client
  taken: TakenRoute
}

/** Copies that an engine may have under way; those beyond are left out and counted. */
const MOST_MIRRORED = 256

/** Notes on an admitted request what its copies are made of, where its route asks for any. */
export function withMirrors(
  admission: Admission,
  { sitting, routed, client, taken }: Omit<Mirroring, 'taken'> & { taken: TakenRoute | null },
): Admission {
  if (admission.kind !== 'admitted' || !admission.way || !taken || taken.mirrors.length === 0)
    return admission
  // The random bytes are good for one turn only, and the same draws have to be made again.
  const lasting = { ...sitting, random: Buffer.from(sitting.random) }
  admission.way.mirroring = { sitting: lasting, routed, client, taken }
  return admission
}

/** Sends the copies of a request whose body is `body`, framed as it was sent; null: too long to be held, so none is made. */
export function mirror(engine: EngineContext, mirroring: Mirroring, body: readonly Buffer[] | null): void {
  const { counters } = engine
  const { mirrors } = mirroring.taken
  const head = body && headAsRouted(engine, mirroring)
  for (const destination of mirrors) {
    if (head === null || counters.mirrorsInFlight >= MOST_MIRRORED) {
      counters.mirrorsDropped++
      continue
    }
    counters.mirrorsInFlight++
    const done = () => {
      counters.mirrorsInFlight--
    }
    void sendCopy(engine, mirroring, destination, head, body!).then(done, done)
  }
}

/** The head as the route left it, before the policies of the route's own function judged it; null where it cannot be had. */
function headAsRouted(engine: EngineContext, { sitting, routed }: Mirroring): Buffer | null {
  if (open(engine, sitting).kind !== 'opened') return null
  const { key, port } = routed.slice
  const decision = engine.sidecars.judge(routed.policy, key, port, IN_FLAG_ROUTE, [])
  return decision.kind === 'forward' ? decision.head : null
}

async function sendCopy(
  engine: EngineContext,
  mirroring: Mirroring,
  destination: RouteDestination,
  head: Buffer,
  body: readonly Buffer[],
): Promise<void> {
  const admission = await admitCopy(engine, mirroring, destination, head)
  if (admission === null) {
    engine.counters.mirrorsDropped++
    return
  }
  const { admitted, facts } = admission
  engine.counters.mirrored++
  await new Promise<void>((ended) => new MirroredExchange(engine, admitted, facts, body, ended).start())
}

async function admitCopy(
  engine: EngineContext,
  { sitting, client, taken }: Mirroring,
  destination: RouteDestination,
  head: Buffer,
): Promise<{ admitted: Admitted; facts: ConnectionFacts } | null> {
  await engine.lookup.byKey(destination.function)
  const other = openDestination(engine, sitting, client, destination, head)
  if (other.kind !== 'opened') return null
  const { entry, duty } = other
  duty.sides |= IN_FLAG_SHADOW
  const decision = await judge(engine, other.sitting, duty)
  const { facts } = other.sitting
  const records = [judgedStage(entry, facts.direction, decision, null, duty.sides)]
  const plain = { ...taken.route, retry: null, timeoutMs: null, mirrors: [] }
  const route = { ...taken, route: plain, destination, delayMs: 0, mirrors: [] }
  const admission = settle(engine, other.client, entry, decision, null, [], records, route)
  return admission.kind === 'admitted' ? { admitted: admission, facts } : null
}
