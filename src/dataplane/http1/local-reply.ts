import type { EngineContext } from '../engine-context.ts'
import { answerAtOnce } from '../needs.ts'
import type { Refusal } from '../refusal.ts'
import type { AttemptFacts, Observed } from '../sidecar.ts'
import type { Refused, Stage } from './admission.ts'
import type { ClientConnection } from './client-connection.ts'
import { recordExchange } from './exchange-record.ts'

/** A whole reply that the mesh itself gives, made by the sidecars' response phases. */
export interface LocalReply {
  status: number
  bytes: Buffer
  /** Bytes of the body in `bytes`. */
  bodyBytes: number
  /** Of each sidecar, from the innermost outwards. */
  observed: Observed[]
  /** RESPONSE_FLAG_* bits that the innermost sidecar sets. */
  flags: number
}

/** Makes the reply by the innermost sidecar, then passes it outwards through the others, as any response. */
export function localReply(
  engine: EngineContext,
  stages: readonly Stage[],
  refusal: Refusal,
  now: number,
): LocalReply {
  const reply = judgedReply(engine, stages, refusal, now, null)
  return reply === 'retried' ? lastResort(engine) : reply
}

/** The same for an attempt that has failed, unless the innermost sidecar would rather have another one made. */
export function judgedReply(
  engine: EngineContext,
  stages: readonly Stage[],
  refusal: Refusal,
  now: number,
  attempt: AttemptFacts | null,
): LocalReply | 'retried' {
  const { sidecars } = engine
  const innermost = stages[stages.length - 1]!
  const { status, text, fields, flags } = refusal
  const { policy: own, context: left, entry: owner } = innermost
  const made = sidecars.reply(
    own,
    left,
    status,
    text,
    fields,
    now,
    flags,
    answerAtOnce(engine, owner),
    attempt,
  )
  if (made.kind === 'retried') return made.kind
  if (made.kind !== 'head') return lastResort(engine)
  const observed: Observed[] = [made]
  let bytes = made.head
  let headLength = made.headLength
  for (let i = stages.length - 2; i >= 0; i--) {
    const { policy, context, entry } = stages[i]!
    const answer = answerAtOnce(engine, entry)
    const passed = sidecars.respond(policy, context, bytes, 0, bytes.length, now, '', flags, answer)
    if (passed.kind !== 'head') return lastResort(engine)
    observed.push(passed)
    bytes = Buffer.concat([passed.head, bytes.subarray(passed.headLength)])
    headLength = passed.head.length
  }
  return { status, bytes, bodyBytes: bytes.length - headLength, observed, flags: made.responseFlags }
}

/** Answers a request that no function gets to see. */
export function answerRefused(
  client: ClientConnection,
  refused: Refused,
  startedAt: number,
  now: number,
): void {
  const { engine } = client
  const { refusal, requestId, records } = refused
  const reply = localReply(engine, refused.stages, refusal, now)
  client.socket.write(reply.bytes)
  const durationMs = performance.now() - startedAt
  recordExchange(engine, {
    requestId,
    time: now,
    status: reply.status,
    stages: records,
    head: null,
    answered: false,
    observed: reply.observed,
    figures: {
      bytesReceived: 0,
      bytesSent: reply.bodyBytes,
      durationMs,
      responseMs: null,
      requestMs: durationMs,
      responseFlags: refusal.flags,
    },
  })
}

/** Where even the sidecar that words the reply fails, a fixed one goes out. */
function lastResort(engine: EngineContext): LocalReply {
  engine.counters.sidecarsFailed++
  const body = 'the sidecar failed\n'
  const head = `HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`
  return {
    status: 500,
    bytes: Buffer.from(head + body, 'latin1'),
    bodyBytes: body.length,
    observed: [],
    flags: 0,
  }
}
