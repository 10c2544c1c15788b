import type { EngineContext } from '../engine-context.ts'
import { answerAtOnce } from '../needs.ts'
import type { Refusal } from '../refusal.ts'
import type { AttemptFacts, Observed, ResponseDecision } from '../sidecar.ts'
import type { Stage } from './admission.ts'

export type JudgedResponse =
  | { kind: 'incomplete' }
  /** `refusal`: what a policy puts in place of the response. */
  | { kind: 'bad'; refusal: Refusal | null }
  | { kind: 'interim'; head: Buffer; headLength: number }
  /** The instance's node has not reached it. */
  | { kind: 'undelivered' }
  /** The request is to be sent again. */
  | { kind: 'retried'; status: number }
  | {
      kind: 'head'
      status: number
      /** What the client gets. */
      head: Buffer
      /** Length of the instance's head in the bytes received. */
      headLength: number
      /** OUT_FLAG_* of the sidecar next to the instance, and of the one next to the client. */
      upstreamFlags: number
      clientFlags: number
      body: number
      bodyLength: number
      sendBody: number
      /** RESPONSE_FLAG_* bits. */
      responseFlags: number
      /** Of each sidecar, from the innermost outwards. */
      observed: Observed[]
    }

/** Passes an instance's response head through the response phases of `stages`, from the innermost outwards. */
export function judgeResponse(
  engine: EngineContext,
  stages: readonly Stage[],
  received: Buffer,
  upstream: string,
  attempt: AttemptFacts | null,
): JudgedResponse {
  const now = Date.now()
  const innermost = stages[stages.length - 1]!
  const inner = engine.sidecars.respond(
    innermost.policy,
    innermost.context,
    received,
    0,
    received.length,
    now,
    upstream,
    0,
    answerAtOnce(engine, innermost.entry),
    attempt,
  )
  if (inner.kind === 'incomplete' || inner.kind === 'retried' || inner.kind === 'undelivered') return inner
  if (inner.kind === 'bad' || inner.kind === 'failed') return rejected(engine, inner)
  let outer = inner
  const observed: Observed[] = []
  if (inner.kind === 'head') observed.push(inner)
  for (let i = stages.length - 2; i >= 0; i--) {
    const { policy, context, entry } = stages[i]!
    const answer = answerAtOnce(engine, entry)
    const next = engine.sidecars.respond(
      policy,
      context,
      outer.head,
      0,
      outer.head.length,
      now,
      upstream,
      0,
      answer,
    )
    if (next.kind !== inner.kind) return rejected(engine, next)
    outer = next as typeof outer
    if (next.kind === 'head') observed.push(next)
  }
  if (inner.kind === 'interim' || outer.kind === 'interim') {
    return { kind: 'interim', head: outer.head, headLength: inner.headLength }
  }
  return {
    kind: 'head',
    status: outer.status,
    head: outer.head,
    headLength: inner.headLength,
    upstreamFlags: inner.flags,
    clientFlags: outer.flags,
    body: inner.body,
    bodyLength: inner.bodyLength,
    sendBody: outer.sendBody,
    responseFlags: inner.responseFlags,
    observed,
  }
}

function rejected(engine: EngineContext, decision: ResponseDecision): JudgedResponse {
  if (decision.kind === 'failed') engine.counters.sidecarsFailed++
  const denial = decision.kind === 'bad' ? decision.denial : undefined
  return { kind: 'bad', refusal: denial ? { ...denial, flags: 0 } : null }
}
