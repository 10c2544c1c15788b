// What comes of judging a request head, as values.

import type { FunctionObservation } from '../../policy/observation-plan.ts'
import type { StageRecord } from '../decision-ring.ts'
import type { FunctionEntry } from '../function-table.ts'
import type { Refusal } from '../refusal.ts'
import type { ConnectionFacts, Decision } from '../sidecar.ts'
import type { TlsPeer } from '../tls-peer.ts'
import type { Way } from './way.ts'

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

export function stageOf(entry: FunctionEntry, context: Buffer): Stage {
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

const UNJUDGED = { verdicts: Buffer.alloc(0), trace: '' }
