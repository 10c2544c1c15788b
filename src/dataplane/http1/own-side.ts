// The function's own side of a call whose instance turns out to be on this node, after the client's side alone was judged: in
// this engine, without a connection to the node itself, but by what the node's engine would be told of it.

import { DIRECTION_INBOUND, DIRECTION_INGRESS, IN_FLAG_SERVE } from '../../sidecar/layout/record.ts'
import type { Endpoint } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import { judge, open, type Sitting } from '../needs.ts'
import { type Refusal, sidecarFailed } from '../refusal.ts'
import type { ConnectionFacts, Denial } from '../sidecar.ts'
import { type Admitted, type JudgedStage, judgedStage, type Stage, stageOf } from './admission.ts'
import type { Attempts } from './attempts.ts'
import { headTo } from './forwarding.ts'
import { after } from './look-up.ts'

/** What one attempt of a request is sent and answered by, once it is known where its instance is. */
export class OwnSide {
  readonly #engine: EngineContext
  readonly #admitted: Admitted
  readonly #client: ConnectionFacts
  /** The bytes with which the attempt begins. */
  head: Buffer
  #served: Served | null = null
  /** Which attempt this is: what comes of an earlier one counts no more. */
  #turn = 0

  /** `client` are the facts of the client's connection. */
  constructor(engine: EngineContext, admitted: Admitted, client: ConnectionFacts) {
    this.#engine = engine
    this.#admitted = admitted
    this.#client = client
    this.head = admitted.head
  }

  /** The sidecars that have judged the request, the one next to the instance last. */
  get stages(): readonly Stage[] {
    return (this.#served ?? this.#admitted).stages
  }

  get records(): JudgedStage[] {
    return (this.#served ?? this.#admitted).records
  }

  /**
   * Calls `next` once the request may go out (null) or is refused; at once, where nobody waits for anything. `attempts` are those
   * that its route allows.
   */
  judge(endpoint: Endpoint, attempts: Attempts | null, next: (refusal: Refusal | null) => void): void {
    this.forget()
    const { caller, facts, records, head: admitted } = this.#admitted
    this.head = attempts === null ? admitted : attempts.counted(admitted)
    if (endpoint.node !== null) this.head = headTo(endpoint, this.head, facts ?? this.#client, caller)
    if (endpoint.node !== null || (records.at(-1)!.sides & IN_FLAG_SERVE) !== 0) return next(null)
    const turn = this.#turn
    after(serveHere(this.#engine, this.#admitted, this.head, this.#client), (served) => {
      if (turn !== this.#turn) return
      this.#served = served
      if (served.head !== null) this.head = served.head
      next(served.refusal)
    })
  }

  /** Nobody waits for what comes of it any more. */
  cancel(): void {
    this.#turn++
  }

  /** The attempt has come to its end, or its instance was not reached. */
  forget(): void {
    this.cancel()
    this.#served = null
  }
}

interface Served {
  /** The bytes to send to the instance; null: none are. */
  head: Buffer | null
  refusal: Refusal | null
  stages: readonly Stage[]
  records: JudgedStage[]
}

function serveHere(
  engine: EngineContext,
  admitted: Admitted,
  head: Buffer,
  client: ConnectionFacts,
): Served | Promise<Served> {
  const { callee, caller, stages, records } = admitted
  const facts = factsOf(engine, admitted, client)
  if (facts === null) return brokenSidecar(engine, admitted)
  const sitting: Sitting = { received: head, facts, now: Date.now(), random: engine.random.take() }
  if (open(engine, sitting).kind !== 'opened') return brokenSidecar(engine, admitted)
  const { key, port } = callee.slice
  const duty = { entry: callee, target: key, targetPort: port, sides: IN_FLAG_SERVE, client: null }
  return after(judge(engine, sitting, duty), (decision) => {
    // The body goes out as the client's side had it framed.
    if (
      decision.kind === 'failed' ||
      (decision.kind === 'forward' && decision.sendBody !== admitted.sendBody)
    )
      return brokenSidecar(engine, admitted)
    const other = caller === null ? null : (engine.functions.get(caller) ?? null)
    const record = judgedStage(callee, facts.direction, decision, other, duty.sides)
    record.peer = facts.peer
    const judged = decision.kind === 'forward' ? decision : decision.denial
    return {
      head: decision.kind === 'forward' ? decision.head : null,
      refusal: decision.kind === 'forward' ? null : refusalOf(engine, decision.denial),
      stages: [...stages, stageOf(callee, judged.context)],
      records: [...records, record],
    }
  })
}

/** What the certificate on a connection between nodes would prove; null where the caller is no function any more. */
function factsOf(
  { functions }: EngineContext,
  { caller, plaintext, facts }: Admitted,
  client: ConnectionFacts,
): ConnectionFacts | null {
  const shared = { ...(facts ?? client), forwarded: true }
  if (caller === null)
    return { ...shared, direction: plaintext ? DIRECTION_INBOUND : DIRECTION_INGRESS, peer: '', plaintext }
  const entry = functions.get(caller)
  return entry ? { ...shared, direction: DIRECTION_INBOUND, peer: entry.slice.principal } : null
}

function brokenSidecar(engine: EngineContext, { stages, records }: Admitted): Served {
  engine.counters.sidecarsFailed++
  return { head: null, refusal: sidecarFailed(), stages, records }
}

function refusalOf({ counters }: EngineContext, denial: Denial): Refusal {
  counters.denied++
  const { status, text, fields, responseFlags: flags } = denial
  return { status, text, fields, flags }
}
