import type { EngineContext } from '../engine-context.ts'
import { type ExchangeFigures, fillLogLine } from '../log-line.ts'
import type { Refusal } from '../refusal.ts'
import type { LogLine } from '../sidecar.ts'
import type { Refused, Stage } from './admit.ts'
import type { ClientConnection } from './client-connection.ts'

/** A whole reply that the mesh itself gives, made by the sidecars' response phases. */
export interface LocalReply {
  status: number
  bytes: Buffer
  /** Bytes of the body in `bytes`. */
  bodyBytes: number
  logs: LogLine[]
}

/** Makes the reply by the innermost sidecar, then passes it outwards through the others, as any response. */
export function localReply(
  engine: EngineContext,
  stages: readonly Stage[],
  refusal: Refusal,
  now: number,
): LocalReply {
  const { sidecars } = engine
  const logs: LogLine[] = []
  const innermost = stages[stages.length - 1]!
  const { status, text, fields, flags } = refusal
  const made = sidecars.reply(innermost.policy, innermost.context, status, text, fields, now, flags)
  if (made.kind !== 'head') return lastResort(engine)
  if (made.log) logs.push(made.log)
  let bytes = made.head
  let headLength = made.headLength
  for (let i = stages.length - 2; i >= 0; i--) {
    const { policy, context } = stages[i]!
    const passed = sidecars.respond(policy, context, bytes, 0, bytes.length, now, '', flags)
    if (passed.kind !== 'head') return lastResort(engine)
    if (passed.log) logs.push(passed.log)
    bytes = Buffer.concat([passed.head, bytes.subarray(passed.headLength)])
    headLength = passed.head.length
  }
  return { status, bytes, bodyBytes: bytes.length - headLength, logs }
}

/** Answers a request that no function gets to see. */
export function answerRefused(
  client: ClientConnection,
  refused: Refused,
  startedAt: number,
  now: number,
): void {
  const { engine } = client
  const reply = localReply(engine, refused.stages, refused.refusal, now)
  countStatus(engine, reply.status)
  client.socket.write(reply.bytes)
  const durationMs = performance.now() - startedAt
  writeLogs(engine, reply.logs, {
    bytesReceived: 0,
    bytesSent: reply.bodyBytes,
    durationMs,
    responseMs: durationMs,
    requestMs: durationMs,
    responseFlags: refused.refusal.flags,
  })
  const { requestId, records } = refused
  engine.decisions.add({ requestId, time: now, durationMs, status: reply.status, stages: records })
}

export function writeLogs(engine: EngineContext, logs: readonly LogLine[], figures: ExchangeFigures): void {
  for (const log of logs) engine.writeLog(fillLogLine(log, figures))
}

export function countStatus(engine: EngineContext, status: number): void {
  const { counters } = engine
  if (status < 300) counters.responses2xx++
  else if (status < 400) counters.responses3xx++
  else if (status < 500) counters.responses4xx++
  else counters.responses5xx++
}

/** Where even the sidecar that words the reply fails, a fixed one goes out. */
function lastResort(engine: EngineContext): LocalReply {
  engine.counters.sidecarsFailed++
  const body = 'the sidecar failed\n'
  const head = `HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`
  return { status: 500, bytes: Buffer.from(head + body, 'latin1'), bodyBytes: body.length, logs: [] }
}
