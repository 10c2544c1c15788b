// From received bytes to a verdict: which sidecars judge a request head, one after the other, and what comes of it.

import {
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  IN_FLAG_ROUTE,
  IN_FLAG_SERVE,
  RESPONSE_FLAG_DPE,
} from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import { calleeKey, type FunctionEntry } from '../function-table.ts'
import { readHop } from '../hop.ts'
import { judge, open, type Sitting } from '../needs.ts'
import { distrusted, tooManyRequests, unknownHost, unreadableHop } from '../refusal.ts'
import { BOTH_SIDES, type ConnectionFacts, type Decision } from '../sidecar.ts'
import { type Admission, type JudgedStage, judgedStage, type Origin, stageOf } from './admission.ts'
import { conclude } from './conclusion.ts'
import { after, lookedUp } from './look-up.ts'
import {
  failed,
  gatewayStage,
  refused,
  refusedBeforeHead,
  toNoFunction,
  withoutFunction,
} from './refused-request.ts'
import { settle } from './settlement.ts'

/** Judges the head at the start of `received`; a promise where a sidecar has to wait for what it needs. */
export function admit(
  engine: EngineContext,
  facts: ConnectionFacts,
  origin: Origin,
  received: Buffer,
  now: number,
): Admission | Promise<Admission> {
  if (origin.kind === 'node' && !engine.node?.isTrusted(origin.peer, now)) {
    engine.counters.tlsPeersRefused++
    return refusedBeforeHead(engine, distrusted())
  }
  const sitting = { received, facts, now, random: engine.random.take() }
  const opened = open(engine, sitting)
  switch (opened.kind) {
    case 'incomplete':
      return opened
    case 'failed':
      return failed(engine)
    case 'denied':
      engine.counters.headsRefused++
      return refused(
        opened.denial,
        opened.denial,
        [gatewayStage(engine, opened.denial.context)],
        [],
        RESPONSE_FLAG_DPE,
      )
    case 'opened': {
      const { counters, mesh } = engine
      const underWay = counters.requestsInFlight + counters.requestsWaiting
      // Those of another node's engine count there; here their connections, which carry one each, are bounded.
      if (origin.kind !== 'node' && underWay >= mesh.limits.maxRequestsInFlight) {
        counters.requestsOverLimit++
        return withoutFunction(engine, tooManyRequests())
      }
      switch (origin.kind) {
        case 'outside':
          return lookedUp(engine, sitting, [engine.lookup.byHost(opened.host, mesh.domain)], (known) =>
            fromGateway(engine, known, opened.host),
          )
        case 'function': {
          const callee = calleeKey(opened.host, namespaceOf(origin.key))
          const asked = [
            engine.lookup.byKey(origin.key),
            callee === null ? null : engine.lookup.byKey(callee),
          ]
          return lookedUp(engine, sitting, asked, (known) => fromFunction(engine, known, origin, opened.host))
        }
        case 'node':
          return lookedUp(engine, sitting, [engine.lookup.byKey(origin.callee)], (known) =>
            fromNode(engine, known, origin.callee, opened.instance),
          )
        case 'plaintext': {
          const callee = opened.host.includes('.') ? calleeKey(opened.host, '') : null
          return lookedUp(engine, sitting, [callee === null ? null : engine.lookup.byKey(callee)], (known) =>
            fromPlaintext(engine, known, opened.host),
          )
        }
      }
    }
  }
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}

function fromGateway(engine: EngineContext, sitting: Sitting, host: string): Admission | Promise<Admission> {
  const callee = engine.functions.byGatewayHost(host)
  if (!callee) {
    engine.counters.hostsUnknown++
    return toNoFunction(engine, unknownHost(host))
  }
  const { key, port } = callee.slice
  const client = { caller: null, slot: 0 }
  const duty = { entry: callee, target: key, targetPort: port, sides: sidesHere(engine), client }
  return after(judge(engine, sitting, duty), (decision) => {
    const records = [judgedStage(callee, DIRECTION_INGRESS, decision, null, duty.sides)]
    const admission = conclude(engine, sitting, client, callee, decision, null, [], records)
    return after(admission, (done) => asCaller(engine, engine.node?.gatewayPrincipal ?? '', done))
  })
}

function fromFunction(
  engine: EngineContext,
  sitting: Sitting,
  caller: { key: string },
  host: string,
): Admission | Promise<Admission> {
  const from = engine.functions.get(caller.key)
  if (!from) return withoutFunction(engine, unknownHost(caller.key))
  const callee = engine.functions.byCalleeName(host, from.slice.namespace)
  const target = callee?.slice.key ?? ''
  const duty = { entry: from, target, targetPort: callee?.slice.port ?? 0, sides: BOTH_SIDES, client: null }
  return after(judge(engine, sitting, duty), (outbound) => {
    const records = [judgedStage(from, DIRECTION_OUTBOUND, outbound, callee ?? null, duty.sides)]
    if (outbound.kind === 'denied') {
      engine.counters.denied++
      const { denial } = outbound
      return refused(denial, denial, [stageOf(from, denial.context)], records, 0)
    }
    // A sidecar that lets a request through to no function is broken, whatever its policy says.
    if (outbound.kind === 'failed' || !callee) return failed(engine)
    return toCallee(engine, sitting, from, callee, outbound, records)
  })
}

/** Passes what the caller's sidecar has let through to the callee's. */
function toCallee(
  engine: EngineContext,
  outer: Sitting,
  from: FunctionEntry,
  callee: FunctionEntry,
  outbound: Extract<Decision, { kind: 'forward' }>,
  records: JudgedStage[],
): Admission | Promise<Admission> {
  const stages = [stageOf(from, outbound.context)]
  const facts = { ...outer.facts, direction: DIRECTION_INBOUND, peer: from.slice.principal }
  const sitting = { received: outbound.head, facts, now: outer.now, random: engine.random.take() }
  if (open(engine, sitting).kind !== 'opened') return failed(engine)
  const { key, port } = callee.slice
  const client = { caller: from.slice.key, slot: 0 }
  const duty = { entry: callee, target: key, targetPort: port, sides: sidesHere(engine), client }
  return after(judge(engine, sitting, duty), (inbound) => {
    records.push(judgedStage(callee, DIRECTION_INBOUND, inbound, from, duty.sides))
    const admission = conclude(engine, sitting, client, callee, inbound, outbound, stages, records)
    return after(admission, (done) => asCaller(engine, from.slice.principal, done))
  })
}

/** Judges the function's own side, for the instance that the sender has chosen. */
function fromNode(
  engine: EngineContext,
  sitting: Sitting,
  key: string,
  value: string,
): Admission | Promise<Admission> {
  const callee = engine.functions.get(key)
  if (!callee) return withoutFunction(engine, unknownHost(key))
  const hop = readHop(value)
  if (hop === null) return withoutFunction(engine, unreadableHop())
  const inner = { ...sitting, facts: { ...sitting.facts, ...hop.facts } }
  engine.sidecars.relocate(inner.facts)
  const duty = {
    entry: callee,
    target: key,
    targetPort: callee.slice.port,
    sides: IN_FLAG_SERVE,
    client: null,
  }
  return after(judge(engine, inner, duty), (decision) => {
    const from = hop.caller === null ? undefined : engine.functions.get(hop.caller)
    const other = from?.slice.principal === inner.facts.peer ? from : null
    const records = [judgedStage(callee, inner.facts.direction, decision, other ?? null, duty.sides)]
    records[0]!.peer = inner.facts.peer
    const client = { caller: null, slot: 0 }
    const admission = settle(engine, client, callee, decision, null, [], records, null)
    return admission.kind === 'admitted' ? { ...admission, instance: hop.instance, way: null } : admission
  })
}

/** Judges a call of a client outside the mesh, which names the function as one inside would. */
function fromPlaintext(
  engine: EngineContext,
  sitting: Sitting,
  host: string,
): Admission | Promise<Admission> {
  const callee = host.includes('.') ? engine.functions.byCalleeName(host, '') : undefined
  if (!callee) {
    engine.counters.hostsUnknown++
    return toNoFunction(engine, unknownHost(host))
  }
  const { node } = engine
  const { key, port } = callee.slice
  const client = { caller: null, slot: 0 }
  // Such a client has no sidecar that would judge its side.
  const sides = node?.forwards ? 0 : IN_FLAG_SERVE
  const duty = { entry: callee, target: key, targetPort: port, sides, client }
  return after(judge(engine, sitting, duty), (decision) => {
    const records = [judgedStage(callee, DIRECTION_INBOUND, decision, null, duty.sides)]
    const admission = settle(engine, client, callee, decision, null, [], records, null)
    if (admission.kind !== 'admitted') return admission
    return asCaller(engine, node?.nodePrincipal ?? '', { ...admission, plaintext: true })
  })
}

/** Where instances may be on other nodes, what protects a function is judged by its node's engine. */
function sidesHere(engine: EngineContext): number {
  return engine.node?.forwards ? IN_FLAG_ROUTE : BOTH_SIDES
}

/** To forward a request to another node the engine needs the caller's certificate; without it no connection is made. */
function asCaller(
  { node }: EngineContext,
  principal: string,
  admission: Admission,
): Admission | Promise<Admission> {
  if (!node?.forwards || admission.kind !== 'admitted') return admission
  return after<unknown, Admission>(node.identities.obtain(principal), () => admission)
}
