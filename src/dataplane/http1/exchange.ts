import {
  BODY_NONE,
  OUT_FLAG_IDEMPOTENT,
  OUT_FLAG_KEEP_ALIVE,
  RESPONSE_FLAG_DT,
  RESPONSE_FLAG_UC,
} from '../../sidecar/layout/record.ts'
import type { Endpoint } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import {
  badBody,
  badUpstream,
  instanceIdle,
  notBegun,
  type Refusal,
  streamIdle,
  timedOut,
  upstreamAborted,
  waitTimedOut,
} from '../refusal.ts'
import type { Admitted } from './admit.ts'
import { BodyRelay } from './body-relay.ts'
import type { ClientConnection } from './client-connection.ts'
import { type Bounds, type Deadline, ExchangeDeadlines } from './exchange-deadlines.ts'
import { ExchangeMeter } from './exchange-meter.ts'
import { recordExchange } from './exchange-record.ts'
import { IncomingResponse } from './incoming-response.ts'
import { type HoldUser, InstanceHold } from './instance-hold.ts'
import { type LocalReply, localReply } from './local-reply.ts'

/**
 * One admitted request and its response: waiting for an instance, sending, receiving, done. From `tunnel` on (101),
 * bytes flow freely both ways.
 */
export class Exchange implements HoldUser {
  readonly #engine: EngineContext
  readonly #client: ClientConnection
  readonly #admitted: Admitted
  /** Milliseconds since the epoch at which the head had arrived. */
  readonly #time: number
  readonly #meter: ExchangeMeter
  readonly #request: BodyRelay
  #phase: 'waiting' | 'connecting' | 'sending' | 'receiving' | 'tunnel' | 'done' = 'waiting'
  /** Body bytes that arrived before there was a connection to send them on. */
  #pending: Buffer = EMPTY
  readonly #instance: InstanceHold
  readonly #deadlines: ExchangeDeadlines
  /** What the instance answers, from the moment that it was granted. */
  #response: IncomingResponse | null = null
  /** What the mesh itself answers instead. */
  #reply: LocalReply | null = null

  constructor(client: ClientConnection, admitted: Admitted, startedAt: number, time: number) {
    const { engine } = client
    this.#engine = engine
    this.#client = client
    this.#admitted = admitted
    this.#time = time
    this.#meter = new ExchangeMeter(startedAt)
    this.#instance = new InstanceHold(engine, admitted.callee.endpoints, this)
    this.#request = this.#relay(admitted.body, admitted.bodyLength, admitted.sendBody)
    this.#deadlines = new ExchangeDeadlines(
      startedAt,
      engine.mesh.limits.streamIdleTimeoutMs,
      () => this.#bounds(),
      (deadline) => this.#timeOut(deadline),
    )
    engine.counters.requestsInFlight++
  }

  /** `rest` is what the client sent behind the head. */
  start(rest: Buffer): void {
    if (this.#request.done) {
      this.#meter.receivedAt = this.#meter.startedAt
      this.#client.keep(rest)
    } else this.#pending = rest
    this.#instance.acquire()
  }

  // ---- the wait for an instance ----

  instanceGranted(endpoint: Endpoint): void {
    this.#phase = 'connecting'
    this.#response = new IncomingResponse({
      engine: this.#engine,
      stages: this.#admitted.stages,
      upstream: endpoint.address,
      relay: (framing, length, sendFraming) => this.#relay(framing, length, sendFraming),
    })
  }

  instanceRefused(refusal: Refusal): void {
    this.#fail(refusal)
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
        this.#deadlines.touch(performance.now())
        this.#meter.tunnelReceived += bytes.length
        return this.#toUpstream(bytes)
      default:
        if (this.#request.done) return this.#client.keep(bytes)
        this.#sendBody(bytes, [])
    }
  }

  clientDrained(): void {
    this.#instance.socket?.resume()
  }

  /** The client sends no more; true where that is passed on, so that the rest may still come back. */
  clientEnded(): boolean {
    if (this.#phase !== 'tunnel') return false
    this.#instance.socket?.end()
    return true
  }

  /** The client went away; `flag` (RESPONSE_FLAG_*) says how. */
  clientGone(flag: number): void {
    if (this.#phase === 'done') return
    this.#meter.flags |= flag
    if (this.#phase === 'waiting') this.#instance.cancel()
    if (this.#phase !== 'tunnel') this.#engine.counters.clientsAborted++
    if (!this.#answering) this.#makeReply({ status: 499, text: '', fields: '', flags: this.#meter.flags })
    this.#finish()
  }

  // ---- the instance's side ----

  upstreamConnected(): void {
    this.#send()
  }

  upstreamDrained(): void {
    if (this.#client.socket.isPaused()) this.#client.socket.resume()
  }

  upstreamBytes(bytes: Buffer): void {
    this.#deadlines.answered(performance.now())
    if (this.#phase === 'tunnel') {
      this.#meter.tunnelSent += bytes.length
      return this.#toClient(bytes)
    }
    const out = this.#response!.push(bytes)
    if (out.length > 0) this.#toClient(joined(out))
    this.#settle()
  }

  upstreamEnded(error: NodeJS.ErrnoException | null): void {
    const mayReconnect = this.#instance.lost()
    if (this.#phase === 'tunnel') return this.#finish()
    if (this.#phase === 'connecting') {
      this.#phase = 'waiting'
      return this.#instance.connectFailed(error)
    }
    if (this.#answering) {
      const out = error === null ? this.#response!.end() : this.#response!.cut()
      if (out.length > 0) this.#toClient(joined(out))
      return this.#settle()
    }
    if (mayReconnect && this.#mayResend) {
      this.#engine.counters.upstreamResent++
      return this.#instance.reconnect()
    }
    this.#engine.counters.upstreamAborted++
    this.#fail(upstreamAborted())
  }

  // ---- sending ----

  #send(): void {
    this.#phase = 'sending'
    this.#deadlines.delivered(performance.now())
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
    const now = performance.now()
    this.#deadlines.touch(now)
    if (this.#request.done) {
      this.#meter.receivedAt ||= now
      this.#meter.sentAt = now
      this.#client.keep(bytes.subarray(end))
    }
    if (out.length > 0) this.#toUpstream(joined(out))
  }

  #toUpstream(bytes: Buffer): void {
    const { socket } = this.#instance
    if (socket && !socket.write(bytes)) this.#client.socket.pause()
  }

  #toClient(bytes: Buffer): void {
    if (!this.#client.socket.write(bytes)) this.#instance.socket?.pause()
  }

  /** An instance may close a kept-alive connection just as a request goes out on it (RFC 9110 9.2.2 says when to repeat). */
  get #mayResend(): boolean {
    const { body, flags } = this.#admitted
    return this.#response!.untouched && body === BODY_NONE && (flags & OUT_FLAG_IDEMPOTENT) !== 0
  }

  // ---- receiving ----

  /** Part of the instance's answer has gone out to the client, so no other answer can. */
  get #answering(): boolean {
    return this.#response !== null && this.#response.status !== 0
  }

  /** Acts on what has become of the answer. */
  #settle(): void {
    switch (this.#response!.state) {
      case 'refused':
        return this.#refuseResponse()
      case 'broken':
        this.#engine.counters.upstreamAborted++
        this.#meter.flags |= RESPONSE_FLAG_UC
        return this.#cutClient()
      case 'switched':
        return this.#openTunnel()
      case 'done':
        return this.#finish()
      case 'body':
        if (this.#phase === 'sending' && this.#request.done) this.#phase = 'receiving'
    }
  }

  #openTunnel(): void {
    this.#engine.counters.upgraded++
    this.#phase = 'tunnel'
    this.#client.socket.resume()
    const early = this.#client.takeKept()
    this.#meter.tunnelReceived += early.length
    if (early.length > 0) this.#toUpstream(early)
  }

  // ---- ending ----

  #fail(refusal: Refusal): void {
    if (this.#phase === 'done') return
    this.#meter.flags |= refusal.flags
    if (this.#answering) return this.#cutClient()
    this.#client.socket.write(this.#makeReply(refusal).bytes)
    this.#finish()
  }

  #makeReply(refusal: Refusal): LocalReply {
    this.#reply = localReply(this.#engine, this.#admitted.stages, refusal, Date.now())
    return this.#reply
  }

  #refuseResponse(): void {
    const { counters } = this.#engine
    const { refusal } = this.#response!
    if (refusal) counters.denied++
    else counters.upstreamBad++
    this.#fail(refusal ?? badUpstream())
  }

  /** Part of the answer is out, so all that can be said is that it ends here. */
  #cutClient(): void {
    // Where the end of the connection would mean the end of the body, only a reset says that it is not whole.
    if (this.#response?.endsByClose) this.#client.socket.resetAndDestroy()
    else this.#client.socket.destroy()
    this.#finish()
  }

  #finish(): void {
    if (this.#phase === 'done') return
    this.#phase = 'done'
    this.#deadlines.stop()
    this.#engine.counters.requestsInFlight--
    const response = this.#reply ? null : this.#response
    this.#instance.release(response?.upstreamReusable === true && this.#request.done)
    this.#record()
    const keepAlive = (this.#admitted.flags & OUT_FLAG_KEEP_ALIVE) !== 0 && this.#request.done
    this.#client.exchangeEnded(
      keepAlive && (this.#reply !== null || (response?.state === 'done' && response.clientKeepsAlive)),
    )
  }

  #record(): void {
    const { requestId, records: stages, head } = this.#admitted
    const answer = this.#reply ?? this.#response!
    const answeredAt = this.#reply ? null : this.#response!.startedAt
    const figures = this.#meter.figures(this.#request.bytes, answer.bodyBytes, answeredAt)
    const { status, observed } = answer
    recordExchange(this.#engine, { requestId, time: this.#time, stages, head, status, observed, figures })
  }

  // ---- time ----

  #bounds(): Bounds {
    const { timeoutMs, responseStartTimeoutMs, idleTimeoutMs } = this.#admitted.callee.slice
    const phase = this.#phase
    const tunnel = phase === 'tunnel'
    // The wait for an instance may be given up earlier than a request that has reached one.
    const wholeMs =
      phase === 'waiting' ? Math.min(timeoutMs, this.#engine.mesh.limits.queueTimeoutMs) : timeoutMs
    return {
      wholeMs: tunnel ? null : wholeMs,
      streaming: tunnel || this.#answering || (phase === 'sending' && !this.#request.done),
      // A client that does not read stops the instance: that is no fault of the function's.
      delivered: (phase === 'sending' || phase === 'receiving') && !this.#instance.socket?.isPaused(),
      responseStartMs: responseStartTimeoutMs,
      instanceIdleMs: idleTimeoutMs,
    }
  }

  #timeOut({ kind, ms }: Deadline): void {
    const { counters } = this.#engine
    if (kind === 'idle' || kind === 'instance-idle') {
      counters.streamsIdle++
      return this.#fail(kind === 'idle' ? streamIdle(ms) : instanceIdle(ms))
    }
    counters.timedOut++
    if (kind === 'response-start') return this.#fail(notBegun(ms))
    if (this.#answering) this.#meter.flags |= RESPONSE_FLAG_DT
    if (this.#phase !== 'waiting') return this.#fail(timedOut(ms))
    this.#instance.cancel()
    this.#fail(waitTimedOut(ms))
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
