// From received bytes to a verdict: which sidecars judge a request head, one after the other, and what comes of it.

import type { FunctionObservation } from '../../policy/observation-plan.ts'
import {
  BODY_NONE,
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  IN_FLAG_ROUTE,
  IN_FLAG_SERVE,
  OUT_FLAG_KEEP_ALIVE,
  RESPONSE_FLAG_DI,
  RESPONSE_FLAG_DPE,
} from '../../sidecar/layout/record.ts'
import type { StageRecord } from '../decision-ring.ts'
import type { EngineContext } from '../engine-context.ts'
import type { LookupOutcome } from '../function-lookup.ts'
import { calleeKey, type FunctionEntry } from '../function-table.ts'
import { readHop } from '../hop.ts'
import { type Client, judge, open, type Sitting } from '../needs.ts'
import {
  distrusted,
  noDestination,
  notLookedUp,
  type Refusal,
  sidecarFailed,
  tooManyRequests,
  unknownHost,
  unreadableHop,
} from '../refusal.ts'
import { BOTH_SIDES, type ConnectionFacts, type Decision, type Denial } from '../sidecar.ts'
import type { TakenRoute } from '../taken-route.ts'
import type { TlsPeer } from '../tls-peer.ts'
import { withMirrors } from './mirroring.ts'
import { openOther, takenRoute } from './other-function.ts'
import { type Way, wayTo } from './way.ts'

/** A sidecar's verdicts, and its span where one is to be recorded. */
export interface JudgedStage extends StageRecord {
  /** 64 hexadecimal digits (SpanFacts.trace); "" where no span is recorded. */
  trace: string
  /** Where the function's spans go. */
  collector: string | null
  /** What is done with what its sidecars find out. */
  observation: FunctionObservation
  /** IN_FLAG_ROUTE and IN_FLAG_SERVE: what was judged; the rest is, on another node. */
  sides: number
  /** The other side of the call, where it is a function that this engine knows. */
  other: FunctionEntry | null
  /** The principal that another node's engine has proved; "": the call came from none. */
  peer: string
}

/** One sidecar of a request's chain: the policy that it judges by and what it left for its response phase. */
export interface Stage {
  policy: Buffer
  context: Buffer
  /** Whose policy it is; null: the gateway's own. */
  entry: FunctionEntry | null
}

export type Admission = { kind: 'incomplete' } | Refused | Admitted

export interface Refused {
  kind: 'refused'
  refusal: Refusal
  stages: Stage[]
  records: JudgedStage[]
  requestId: string
  headLength: number
  /** The head was readable and no body follows it, so the connection may carry another request. */
  reusable: boolean
  /** Milliseconds by which a fault of the route holds the answer back. */
  delayMs?: number
}

export interface Admitted {
  kind: 'admitted'
  callee: FunctionEntry
  /** In the order in which they judged the request; the response passes them the other way round. */
  stages: Stage[]
  records: JudgedStage[]
  requestId: string
  headLength: number
  /** The bytes to send to the instance. */
  head: Buffer
  /** OUT_FLAG_* of the first sidecar, which judged the client's own bytes. */
  flags: number
  /** How the client frames the body, and how it is framed towards the instance (BODY_*). */
  body: number
  bodyLength: number
  sendBody: number
  /** What the route asks of the engine (layout/route-outcome.ts); empty: nothing. */
  route: Buffer
  /** Who calls, "namespace/name"; null: somebody from outside. */
  caller: string | null
  /** What VirtualServices and DestinationRules say of the way to an instance; null: none do. */
  way: Way | null
  /** The instance that the sender on another node has chosen; null: this engine chooses. */
  instance: string | null
  /** The client was let in at the node's own address without proof of who it is. */
  plaintext: boolean
  /** What another node's engine is told of the connection; null: what the client's is. */
  facts: ConnectionFacts | null
}

/** Where a request comes from. */
export type Origin =
  | { kind: 'outside' }
  /** A function, by its egress address. */
  | { kind: 'function'; key: string }
  /** Another node's engine, which has judged the client's side of a call to this function. */
  | { kind: 'node'; peer: TlsPeer; callee: string }
  /** A client at the node's own address that proves nothing. */
  | { kind: 'plaintext' }

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

/** Goes on once it is known whom the request names: an engine is told of a function when it first asks for it. */
function lookedUp(
  engine: EngineContext,
  sitting: Sitting,
  asked: readonly (Promise<LookupOutcome> | null)[],
  next: (known: Sitting) => Admission | Promise<Admission>,
): Admission | Promise<Admission> {
  return asked.every((one) => one === null) ? next(sitting) : afterLookup(engine, sitting, asked, next)
}

async function afterLookup(
  engine: EngineContext,
  sitting: Sitting,
  asked: readonly (Promise<LookupOutcome> | null)[],
  next: (known: Sitting) => Admission | Promise<Admission>,
): Promise<Admission> {
  const lasting = { ...sitting, random: Buffer.from(sitting.random) }
  engine.counters.requestsWaiting++
  const outcomes = await Promise.all(asked)
  engine.counters.requestsWaiting--
  if (open(engine, lasting).kind !== 'opened') return failed(engine)
  return outcomes.includes('silent') ? withoutFunction(engine, notLookedUp()) : next(lasting)
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

/** Ends the judging of a request by its callee's sidecar, or passes it on to the function that its route leads to. */
function conclude(
  engine: EngineContext,
  sitting: Sitting,
  client: Client,
  callee: FunctionEntry,
  decision: Decision,
  outer: Framing | null,
  stages: Stage[],
  records: JudgedStage[],
): Admission | Promise<Admission> {
  const taken = takenRoute(callee, decision)
  if (taken === 'bad') return failed(engine)
  const conclusion = { engine, client, callee, decision, outer, stages, records, taken }
  const asked = taken?.destination ? engine.lookup.byKey(taken.destination.function) : null
  if (asked === null) return concludeKnown(sitting, conclusion)
  // Where control does not answer the function stays unknown.
  const lasting = { ...sitting, random: Buffer.from(sitting.random) }
  engine.counters.requestsWaiting++
  return asked.then(() => {
    engine.counters.requestsWaiting--
    return concludeKnown(lasting, conclusion)
  })
}

interface Conclusion {
  engine: EngineContext
  client: Client
  callee: FunctionEntry
  decision: Decision
  outer: Framing | null
  stages: Stage[]
  records: JudgedStage[]
  taken: TakenRoute | null
}

/** Concludes where it is known whom the route leads to, or that nobody says. */
function concludeKnown(
  sitting: Sitting,
  { engine, client, callee, decision, outer, stages, records, taken }: Conclusion,
): Admission | Promise<Admission> {
  const mirroring = { sitting, routed: callee, client, taken }
  const other =
    decision.kind === 'forward' ? openOther(engine, sitting, client, callee, decision.head, taken) : null
  if (decision.kind !== 'forward' || other === null)
    return withMirrors(settle(engine, client, callee, decision, outer, stages, records, taken), mirroring)
  stages.push(stageOf(callee, decision.context))
  // The callee's own side is not judged: the other function's is.
  records.at(-1)!.sides = IN_FLAG_ROUTE
  const framing = outer ?? decision
  if (other.kind === 'failed') return failed(engine)
  if (other.kind === 'unknown') {
    const { requestId } = decision
    const { headLength, flags, body } = framing
    const refusal = noDestination(other.key)
    return {
      kind: 'refused',
      refusal,
      stages,
      records,
      requestId,
      headLength,
      reusable: isReusable(flags, body),
    }
  }
  const { entry, duty } = other
  return after(judge(engine, other.sitting, duty), (served) => {
    records.push(judgedStage(entry, sitting.facts.direction, served, null, duty.sides))
    const admission = settle(engine, other.client, entry, served, framing, stages, records, taken)
    if (admission.kind !== 'admitted') return admission
    return withMirrors({ ...admission, facts: other.sitting.facts }, mirroring)
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

function after<T, U>(value: T | Promise<T>, next: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/** How the client's own message is framed. */
interface Framing {
  headLength: number
  flags: number
  body: number
  bodyLength: number
}

/** `outer` is the framing that the first sidecar saw, null where this decision is the first. */
export function settle(
  engine: EngineContext,
  client: Client,
  callee: FunctionEntry,
  decision: Decision,
  outer: Framing | null,
  stages: Stage[],
  records: JudgedStage[],
  taken: TakenRoute | null,
): Admission {
  if (decision.kind === 'failed') return failed(engine)
  const judged = decision.kind === 'denied' ? decision.denial : decision
  const framing = outer ?? judged
  stages.push(stageOf(callee, judged.context))
  if (decision.kind === 'denied') {
    engine.counters.denied++
    const delayMs = taken?.delayMs ?? 0
    const flags = delayMs > 0 ? RESPONSE_FLAG_DI : 0
    return { ...refused(decision.denial, framing, stages, records, flags), delayMs }
  }
  return {
    kind: 'admitted',
    callee,
    stages,
    records,
    requestId: decision.requestId,
    headLength: framing.headLength,
    head: decision.head,
    flags: framing.flags,
    body: framing.body,
    bodyLength: framing.bodyLength,
    sendBody: decision.sendBody,
    route: decision.route,
    caller: client.caller,
    way: wayTo(callee, client.caller, decision.hash, taken),
    instance: null,
    plaintext: false,
    facts: null,
  }
}

function refused(
  denial: Denial,
  framing: Framing,
  stages: Stage[],
  records: JudgedStage[],
  flags: number,
): Refused {
  return {
    kind: 'refused',
    refusal: {
      status: denial.status,
      text: denial.text,
      fields: denial.fields,
      flags: flags | denial.responseFlags,
    },
    stages,
    records,
    requestId: denial.requestId,
    headLength: framing.headLength,
    reusable: isReusable(framing.flags, framing.body),
  }
}

function isReusable(flags: number, body: number): boolean {
  return (flags & OUT_FLAG_KEEP_ALIVE) !== 0 && body === BODY_NONE
}

function failed(engine: EngineContext): Refused {
  engine.counters.sidecarsFailed++
  return refusedBeforeHead(engine, sidecarFailed())
}

/** The gateway's own policy judges a request to no function, so that its log line says what was asked. */
function toNoFunction(engine: EngineContext, refusal: Refusal): Refused {
  const decision = engine.sidecars.judge(engine.mesh.gatewayPolicy as Buffer, '', 0, 0, [])
  if (decision.kind === 'failed' || decision.kind === 'needs') return failed(engine)
  const { context, requestId, headLength, flags, body } =
    decision.kind === 'denied' ? decision.denial : decision
  const stages = [gatewayStage(engine, context)]
  const reusable = isReusable(flags, body)
  return { kind: 'refused', refusal, stages, records: [], requestId, headLength, reusable }
}

/** The head is readable, but names no function that could judge it: the connection may go on after the reply. */
function withoutFunction(engine: EngineContext, refusal: Refusal): Refused {
  const { context, headLength, flags, body } = engine.sidecars.abandon()
  const result = refusedBeforeHead(engine, refusal)
  result.stages[0]!.context = context
  result.headLength = headLength
  result.reusable = isReusable(flags, body)
  return result
}

/** A refusal of which no function's policy knows: the gateway's own policy logs it. */
export function refusedBeforeHead(engine: EngineContext, refusal: Refusal): Refused {
  const stages = [gatewayStage(engine, EMPTY)]
  return { kind: 'refused', refusal, stages, records: [], requestId: '', headLength: 0, reusable: false }
}

function gatewayStage(engine: EngineContext, context: Buffer): Stage {
  const { gatewayPolicy } = engine.mesh
  return { policy: gatewayPolicy as Buffer, context, entry: null }
}

function stageOf(entry: FunctionEntry, context: Buffer): Stage {
  return { policy: entry.policy, context, entry }
}

export function judgedStage(
  entry: FunctionEntry,
  direction: number,
  decision: Decision,
  other: FunctionEntry | null,
  sides: number,
): JudgedStage {
  const { key, policyHash, collector, observation } = entry.slice
  const judged =
    decision.kind === 'denied' ? decision.denial : decision.kind === 'forward' ? decision : UNJUDGED
  const { verdicts, trace } = judged
  return {
    function: key,
    policyHash,
    direction,
    verdicts,
    trace,
    collector,
    observation,
    other,
    sides,
    peer: '',
  }
}

const EMPTY = Buffer.alloc(0)
const UNJUDGED = { verdicts: EMPTY, trace: '' }
