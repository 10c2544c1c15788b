import {
  BODY_CLOSE,
  BODY_NONE,
  OUT_FLAG_CLOSE_CLIENT,
  OUT_FLAG_IDEMPOTENT,
  OUT_FLAG_KEEP_ALIVE,
  OUT_FLAG_UPGRADE,
  RESPONSE_FLAG_DT,
  RESPONSE_FLAG_SI,
  RESPONSE_FLAG_UC,
} from '../../sidecar/layout/record.ts'
import type { Endpoint, Waiter, WaitRefusal } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import {
  badBody,
  badUpstream,
  connectFailed,
  noInstance,
  type Refusal,
  streamIdle,
  timedOut,
  upstreamAborted,
  waitTimedOut,
} from '../refusal.ts'
import type { LogLine } from '../sidecar.ts'
import { UpstreamConnection, type UpstreamUser } from '../upstream-connection.ts'
import type { Admitted } from './admit.ts'
import { BodyRelay } from './body-relay.ts'
import type { ClientConnection } from './client-connection.ts'
import { countStatus, localReply, writeLogs } from './local-reply.ts'
import { judgeResponse } from './response-head.ts'

/** Instances tried one after the other while none accepts a connection. */
const MAX_CONNECT_ATTEMPTS = 3

/**
 * One admitted request and its response: waiting for an instance, sending, receiving, done. From `tunnel` on (101),
 * bytes flow freely both ways.
 */
export class Exchange implements Waiter, UpstreamUser {
  readonly #engine: EngineContext
  readonly #client: ClientConnection
  readonly #admitted: Admitted
  readonly #startedAt: number
  readonly #now: number
  readonly #request: BodyRelay
  #phase: 'waiting' | 'connecting' | 'sending' | 'receiving' | 'tunnel' | 'done' = 'waiting'
  /** Body bytes that arrived before there was a connection to send them on. */
  #pending: Buffer = EMPTY
  #endpoint: Endpoint | null = null
  #upstream: UpstreamConnection | null = null
  #connectAttempts = 0
  #timer: NodeJS.Timeout
  #lastByteAt: number
  #responseHead: Buffer = EMPTY
  #response: BodyRelay | null = null
  #responseAt = 0
  #requestEndAt = 0
  #upstreamReusable = false
  #clientReusable: boolean
  #status = 0
  #flags = 0
  #tunnelBytes = 0
  #logs: LogLine[] = []

  constructor(client: ClientConnection, admitted: Admitted, startedAt: number, now: number) {
    const { engine } = client
    this.#engine = engine
    this.#client = client
    this.#admitted = admitted
    this.#startedAt = startedAt
    this.#lastByteAt = startedAt
    this.#now = now
    this.#clientReusable = (admitted.flags & OUT_FLAG_KEEP_ALIVE) !== 0
    this.#request = this.#relay(admitted.body, admitted.bodyLength, admitted.sendBody)
    this.#timer = setTimeout(() => this.#timeOut(), this.#nextDeadline())
    engine.counters.requestsInFlight++
  }

  /** `rest` is what the client sent behind the head. */
  start(rest: Buffer): void {
    this.#pending = rest
    this.#admitted.callee.endpoints.acquire(this)
  }

  // ---- the wait for an instance ----

  granted(endpoint: Endpoint): void {
    this.#endpoint = endpoint
    this.#phase = 'connecting'
    this.#upstream = UpstreamConnection.take(endpoint, this, this.#engine.mesh.limits)
    if (this.#upstream.connected) this.#send()
  }

  refused(why: WaitRefusal): void {
    if (why.kind === 'queue-full') this.#engine.counters.queueFull++
    if (why.kind === 'failing') this.#engine.counters.startsFailed++
    this.#fail(noInstance(why, Date.now()))
  }

  // ---- the client's side ----

  clientBytes(bytes: Buffer): void {
    switch (this.#phase) {
      case 'waiting':
      case 'connecting':
        if (this.#request.done) return this.#client.keep(bytes)
        this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
        if (this.#pending.length > this.#engine.mesh.limits.maxPipelinedBytes) this.#client.socket.pause()
        return
      case 'tunnel':
        this.#lastByteAt = performance.now()
        return this.#toUpstream(bytes)
      default:
        if (this.#request.done) return this.#client.keep(bytes)
        this.#sendBody(bytes, [])
    }
  }

  clientDrained(): void {
    this.#upstream?.socket.resume()
  }

  /** The client went away; `flag` (RESPONSE_FLAG_*) says how. */
  clientGone(flag: number): void {
    if (this.#phase === 'done') return
    this.#flags |= flag
    if (this.#phase === 'waiting') this.#admitted.callee.endpoints.cancel(this)
    if (this.#phase !== 'tunnel') this.#engine.counters.clientsAborted++
    if (this.#status === 0) this.#takeReply({ status: 499, text: '', fields: '', flags: this.#flags })
    this.#finish(false)
  }

  // ---- the instance's side ----

  upstreamConnected(): void {
    this.#send()
  }

  upstreamDrained(): void {
    if (this.#client.socket.isPaused()) this.#client.socket.resume()
  }

  upstreamBytes(bytes: Buffer): void {
    this.#lastByteAt = performance.now()
    if (this.#phase === 'tunnel') {
      this.#tunnelBytes += bytes.length
      return this.#toClient(bytes)
    }
    if (this.#response) return this.#receiveBody(bytes, [])
    this.#responseHead = this.#responseHead.length === 0 ? bytes : Buffer.concat([this.#responseHead, bytes])
    this.#receiveHead()
  }

  upstreamEnded(error: NodeJS.ErrnoException | null): void {
    const upstream = this.#upstream!
    this.#upstream = null
    if (this.#phase === 'tunnel') return this.#finish(false)
    if (this.#phase === 'connecting') return this.#connectFailed(error)
    if (this.#response) return this.#responseCut()
    if (this.#mayResend(upstream)) {
      this.#engine.counters.upstreamResent++
      return this.granted(this.#endpoint!)
    }
    this.#engine.counters.upstreamAborted++
    this.#fail(upstreamAborted())
  }

  // ---- sending ----

  #send(): void {
    this.#phase = 'sending'
    const pending = this.#pending
    this.#pending = EMPTY
    this.#sendBody(pending, [this.#admitted.head])
    if (this.#client.socket.isPaused() && this.#phase === 'sending') this.#client.socket.resume()
  }

  #sendBody(bytes: Buffer, out: Buffer[]): void {
    const end = this.#request.push(bytes, 0, out)
    if (this.#request.bad) {
      this.#engine.counters.bodiesBad++
      return this.#fail(badBody())
    }
    this.#lastByteAt = performance.now()
    if (this.#request.done) {
      this.#requestEndAt = this.#lastByteAt
      this.#client.keep(bytes.subarray(end))
    }
    if (out.length > 0) this.#toUpstream(joined(out))
  }

  #toUpstream(bytes: Buffer): void {
    if (this.#upstream && !this.#upstream.socket.write(bytes)) this.#client.socket.pause()
  }

  #toClient(bytes: Buffer): void {
    if (!this.#client.socket.write(bytes)) this.#upstream?.socket.pause()
  }

  #connectFailed(error: NodeJS.ErrnoException | null): void {
    const endpoint = this.#endpoint!
    this.#engine.counters.upstreamConnectFailed++
    this.#endpoint = null
    this.#phase = 'waiting'
    const { endpoints } = this.#admitted.callee
    if (++this.#connectAttempts < MAX_CONNECT_ATTEMPTS) return endpoints.refused(endpoint, this)
    endpoints.release(endpoint)
    this.#fail(connectFailed(error?.code ?? 'closed'))
  }

  /** An instance may close a kept-alive connection just as a request goes out on it (RFC 9110 9.2.2 says when to repeat). */
  #mayResend(upstream: UpstreamConnection): boolean {
    return (
      upstream.uses > 0 &&
      this.#responseHead.length === 0 &&
      this.#admitted.body === BODY_NONE &&
      (this.#admitted.flags & OUT_FLAG_IDEMPOTENT) !== 0 &&
      !this.#endpoint!.gone
    )
  }

  // ---- receiving ----

  #receiveHead(): void {
    const { stages } = this.#admitted
    for (;;) {
      const judged = judgeResponse(
        this.#engine,
        stages,
        this.#responseHead,
        this.#endpoint!.address,
        this.#flags,
      )
      if (judged.kind === 'incomplete') return
      if (judged.kind === 'bad') {
        this.#engine.counters.upstreamBad++
        return this.#fail(badUpstream())
      }
      const rest = this.#responseHead.subarray(judged.headLength)
      this.#responseHead = rest
      if (judged.kind === 'interim') {
        this.#toClient(judged.head)
        continue
      }
      this.#status = judged.status
      this.#logs = judged.logs
      this.#responseAt = performance.now()
      this.#upstreamReusable = (judged.upstreamFlags & OUT_FLAG_KEEP_ALIVE) !== 0
      if (judged.clientFlags & OUT_FLAG_CLOSE_CLIENT || judged.sendBody === BODY_CLOSE)
        this.#clientReusable = false
      if (judged.upstreamFlags & OUT_FLAG_UPGRADE) return this.#switchProtocols(judged.head, rest)
      if (this.#phase === 'sending') this.#phase = 'receiving'
      this.#response = this.#relay(judged.body, judged.bodyLength, judged.sendBody)
      return this.#receiveBody(rest, [judged.head])
    }
  }

  #receiveBody(bytes: Buffer, out: Buffer[]): void {
    const response = this.#response!
    const end = response.push(bytes, 0, out)
    if (end < bytes.length) this.#upstreamReusable = false // bytes behind the answer belong to no request
    if (out.length > 0) this.#toClient(joined(out))
    if (response.bad) return this.#responseCut()
    if (response.done) this.#finish(this.#request.done)
  }

  /** The instance closed the connection inside the body: the end of a close-delimited one, else a broken answer. */
  #responseCut(): void {
    const response = this.#response!
    const out: Buffer[] = []
    response.end(out)
    if (response.done) {
      if (out.length > 0) this.#toClient(joined(out))
      return this.#finish(this.#request.done)
    }
    this.#engine.counters.upstreamAborted++
    this.#flags |= RESPONSE_FLAG_UC
    this.#cutClient()
  }

  #switchProtocols(head: Buffer, rest: Buffer): void {
    this.#engine.counters.upgraded++
    this.#phase = 'tunnel'
    this.#toClient(rest.length > 0 ? Buffer.concat([head, rest]) : head)
    this.#tunnelBytes = rest.length
    const early = this.#client.takeKept()
    if (early.length > 0) this.#toUpstream(early)
  }

  // ---- ending ----

  #fail(refusal: Refusal): void {
    if (this.#phase === 'done') return
    this.#flags |= refusal.flags
    if (this.#status !== 0) return this.#cutClient()
    this.#client.socket.write(this.#takeReply(refusal))
    // A request whose body is unread leaves bytes behind that are no request.
    const rest = this.#pending
    this.#pending = EMPTY
    if (this.#request.done) this.#client.keep(rest)
    this.#upstreamReusable = false
    this.#finish(this.#request.done)
  }

  #takeReply(refusal: Refusal): Buffer {
    const reply = localReply(this.#engine, this.#admitted.stages, refusal, Date.now())
    this.#status = reply.status
    this.#logs = reply.logs
    this.#responseAt = performance.now()
    this.#tunnelBytes = reply.bodyBytes
    return reply.bytes
  }

  /** Part of the response is out, so all that can be said is that it ends here. */
  #cutClient(): void {
    this.#upstreamReusable = false
    this.#finish(false)
    this.#client.socket.destroy()
  }

  #finish(requestRead: boolean): void {
    if (this.#phase === 'done') return
    this.#phase = 'done'
    clearTimeout(this.#timer)
    this.#engine.counters.requestsInFlight--
    const upstream = this.#upstream
    this.#upstream = null
    if (upstream && this.#upstreamReusable && requestRead) upstream.release(this.#engine.mesh.limits)
    else upstream?.destroy()
    if (this.#endpoint) this.#admitted.callee.endpoints.release(this.#endpoint)
    this.#record()
    this.#client.exchangeEnded(this.#clientReusable && requestRead)
  }

  #record(): void {
    countStatus(this.#engine, this.#status)
    const endAt = performance.now()
    const durationMs = endAt - this.#startedAt
    writeLogs(this.#engine, this.#logs, {
      bytesReceived: this.#request.bytes,
      bytesSent: this.#response ? this.#response.bytes : this.#tunnelBytes,
      durationMs,
      responseMs: this.#responseAt - this.#startedAt,
      requestMs: (this.#requestEndAt || endAt) - this.#startedAt,
      responseFlags: this.#flags,
    })
    const { requestId, records } = this.#admitted
    this.#engine.decisions.add({
      requestId,
      time: this.#now,
      durationMs,
      status: this.#status,
      stages: records,
    })
  }

  // ---- time ----

  #nextDeadline(): number {
    const { streamIdleTimeoutMs } = this.#engine.mesh.limits
    const now = performance.now()
    const whole = this.#startedAt + this.#wholeMs()
    const idle = this.#lastByteAt + streamIdleTimeoutMs
    if (this.#phase === 'tunnel') return idle - now
    return (this.#streaming() ? Math.min(whole, idle) : whole) - now
  }

  /** A request that waits for an instance may be given up earlier than one that has reached it. */
  #wholeMs(): number {
    const { timeoutMs } = this.#admitted.callee.slice
    return this.#phase === 'waiting'
      ? Math.min(timeoutMs, this.#engine.mesh.limits.queueTimeoutMs)
      : timeoutMs
  }

  /** Bytes of a body are expected now. */
  #streaming(): boolean {
    return this.#response !== null || (this.#phase === 'sending' && !this.#request.done)
  }

  #timeOut(): void {
    const left = this.#nextDeadline()
    if (left > 0) {
      this.#timer = setTimeout(() => this.#timeOut(), left)
      return
    }
    const timeoutMs = this.#wholeMs()
    if (this.#phase !== 'tunnel' && performance.now() - this.#startedAt >= timeoutMs) {
      this.#engine.counters.timedOut++
      if (this.#status !== 0) this.#flags |= RESPONSE_FLAG_DT
      if (this.#phase === 'waiting') {
        this.#admitted.callee.endpoints.cancel(this)
        return this.#fail(waitTimedOut(timeoutMs))
      }
      return this.#fail(timedOut(timeoutMs))
    }
    this.#engine.counters.streamsIdle++
    this.#flags |= RESPONSE_FLAG_SI
    if (this.#phase === 'tunnel') return this.#cutClient()
    this.#fail(streamIdle(this.#engine.mesh.limits.streamIdleTimeoutMs))
  }

  #relay(framing: number, length: number, sendFraming: number): BodyRelay {
    const { maxTrailerBytes } = this.#engine.mesh.limits
    return new BodyRelay(framing, length, sendFraming, maxTrailerBytes, (section) =>
      this.#engine.sidecars.trailers(section, this.#client.facts.direction),
    )
  }
}

function joined(parts: Buffer[]): Buffer {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

const EMPTY = Buffer.alloc(0)
