import type { EngineContext } from '../engine-context.ts'
import { answerAtOnce } from '../needs.ts'
import type { LogLine, ResponseDecision } from '../sidecar.ts'
import type { Stage } from './admit.ts'

export type JudgedResponse =
  | { kind: 'incomplete' }
  | { kind: 'bad' }
  | { kind: 'interim'; head: Buffer; headLength: number }
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
      logs: LogLine[]
    }

/** Passes an instance's response head through the response phases of `stages`, from the innermost outwards. */
export function judgeResponse(
  engine: EngineContext,
  stages: readonly Stage[],
  received: Buffer,
  upstream: string,
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
  )
  if (inner.kind === 'incomplete') return inner
  if (inner.kind === 'bad' || inner.kind === 'failed') return rejected(engine, inner)
  let outer = inner
  const logs: LogLine[] = []
  if (inner.kind === 'head' && inner.log) logs.push(inner.log)
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
    if (next.kind === 'head' && next.log) logs.push(next.log)
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
    logs,
  }
}

function rejected(engine: EngineContext, decision: ResponseDecision): JudgedResponse {
  if (decision.kind === 'failed') engine.counters.sidecarsFailed++
  return { kind: 'bad' }
}
