import {
  BODY_NONE,
  OUT_FLAG_IDEMPOTENT,
  OUT_FLAG_KEEP_ALIVE,
  OUT_FLAG_UPGRADE,
  RESPONSE_FLAG_DI,
  RESPONSE_FLAG_UC,
} from '../../sidecar/layout/record.ts'
import { FAILURE_CONNECT, FAILURE_RESET, FAILURE_TIMEOUT } from '../../sidecar/layout/retry.ts'
import type { Endpoint } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import {
  attemptTimedOut,
  badBody,
  badUpstream,
  connectFailed,
  type Refusal,
  upstreamAborted,
} from '../refusal.ts'
import type { Admitted } from './admit.ts'
import { Attempts } from './attempts.ts'
import { BodyRelay } from './body-relay.ts'
import type { ClientConnection } from './client-connection.ts'
import { boundsOf, refusalOf } from './exchange-bounds.ts'
import { type Deadline, ExchangeDeadlines } from './exchange-deadlines.ts'
import { ExchangeMeter } from './exchange-meter.ts'
import { recordExchange } from './exchange-record.ts'
import { endpointSource, headTo, linkTo } from './forwarding.ts'
import { IncomingResponse } from './incoming-response.ts'
import { type HoldUser, InstanceHold } from './instance-hold.ts'
import { judgedReply, type LocalReply, localReply } from './local-reply.ts'
import { type Mirroring, mirror } from './mirroring.ts'
import { OutgoingRequest } from './outgoing-request.ts'

export type Phase = 'waiting' | 'connecting' | 'sending' | 'receiving' | 'tunnel' | 'done'

/**
 * One admitted request and its response: waiting for an instance, sending, receiving, done; and waiting again where an
 * attempt came to nothing and another one is made. From `tunnel` on (101), bytes flow freely both ways.
 */
export class Exchange implements HoldUser {
  readonly #engine: EngineContext
  readonly #client: ClientConnection
  readonly #admitted: Admitted
  /** Milliseconds since the epoch at which the head had arrived. */
  readonly #time: number
  readonly #meter: ExchangeMeter
  readonly #request: OutgoingRequest
  #phase: Phase = 'waiting'
  readonly #instance: InstanceHold
  /** null: its route has no retry policy. */
  readonly #attempts: Attempts | null
  readonly #deadlines: ExchangeDeadlines
  /** What copies are made of when the whole request is there; null: none are, or they are made. */
  #mirroring: Mirroring | null
  /** What the instance answers, from the moment that it was granted. */
  #response: IncomingResponse | null = null
  /** What the mesh itself answers instead. */
  #reply: LocalReply | null = null

  constructor(client: ClientConnection, admitted: Admitted, startedAt: number, time: number) {
    const { engine } = client
    const { way, head, body, bodyLength, sendBody } = admitted
    this.#engine = engine
    this.#client = client
    this.#admitted = admitted
    this.#time = time
    this.#meter = new ExchangeMeter(startedAt)
    // A connection that switches protocols is no request that could be copied.
    this.#mirroring = (admitted.flags & OUT_FLAG_UPGRADE) === 0 ? (way?.mirroring ?? null) : null
    this.#attempts = way?.retry ? new Attempts(way.retry, way.circuit, Math.random) : null
    this.#instance = new InstanceHold(
      engine,
      endpointSource(admitted),
      (endpoint) => linkTo(engine, admitted, endpoint),
      way && { circuit: way.circuit, hash: way.hash, tried: this.#attempts?.tried ?? null },
      this,
    )
    this.#request = new OutgoingRequest(
      head,
      this.#relay(body, bodyLength, sendBody),
      this.#attempts || way?.mirroring ? engine.mesh.limits.maxPipelinedBytes : 0,
      this.#meter,
      (rest) => client.keep(rest),
    )
    this.#deadlines = new ExchangeDeadlines(
      startedAt,
      engine.mesh.limits.streamIdleTimeoutMs,
      () => boundsOf(this),
      (deadline) => this.#timeOut(deadline),
    )
    engine.counters.requestsInFlight++
  }

  /** `rest` is what the client sent behind the head. */
  start(rest: Buffer): void {
    if (this.#request.done) {
      this.#meter.receivedAt = this.#meter.startedAt
      this.#client.keep(rest)
    } else this.#request.wait(rest)
    const delayMs = this.#admitted.way?.delayMs ?? 0
    if (delayMs === 0) return this.#instance.acquire()
    this.#meter.flags |= RESPONSE_FLAG_DI
    this.#engine.counters.requestsDelayed++
    this.#delay(delayMs)
  }

  // ---- what its time is bounded by (exchange-bounds.ts) ----

  get engine(): EngineContext {
    return this.#engine
  }

  get admitted(): Admitted {
    return this.#admitted
  }

  get meter(): ExchangeMeter {
    return this.#meter
  }

  get phase(): Phase {
    return this.#phase
  }

  get request(): OutgoingRequest {
    return this.#request
  }

  /** A client that does not read stops the instance. */
  get instanceIsPaused(): boolean {
    return this.#instance.socket?.isPaused() === true
  }

  /** Part of the instance's answer has gone out to the client, so no other answer can. */
  get answering(): boolean {
    return this.#response !== null && this.#response.status !== 0
  }

  // ---- the wait for an instance ----

  instanceGranted(endpoint: Endpoint): void {
    this.#phase = 'connecting'
    this.#attempts?.sentTo(endpoint)
    this.#response = new IncomingResponse({
      engine: this.#engine,
      stages: this.#admitted.stages,
      upstream: endpoint.address,
      relay: (framing, length, sendFraming) => this.#relay(framing, length, sendFraming),
      attempt: this.#attempts && (() => this.#attempts!.answered(this.#repeatable)),
      answered: this.#admitted.way && ((status) => this.#instance.answered(status)),
    })
  }

  instanceRefused(refusal: Refusal): void {
    this.#fail(refusal)
  }

  #delay(ms: number): void {
    this.#meter.heldUntil = performance.now() + ms
    this.#instance.acquireAfter(ms)
  }

  // ---- the client's side ----

  clientBytes(bytes: Buffer): void {
    if (this.#phase === 'tunnel') {
      this.#deadlines.touch(performance.now())
      this.#meter.tunnelReceived += bytes.length
      return this.#toUpstream(bytes)
    }
    if (this.#request.done) return this.#client.keep(bytes)
    if (this.#phase !== 'waiting' && this.#phase !== 'connecting')
      return this.#deliver(this.#request.push(bytes))
    this.#request.wait(bytes)
    if (this.#request.pendingBytes > this.#engine.mesh.limits.maxPipelinedBytes) this.#client.socket.pause()
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
    if (!this.answering) this.#makeReply({ status: 499, text: '', fields: '', flags: this.#meter.flags })
    this.#finish()
  }

  // ---- the instance's side ----

  upstreamConnected(): void {
    this.#instance.connected()
    this.#phase = 'sending'
    this.#deadlines.delivered(performance.now())
    const attempt = this.#attempts === null ? '' : `x-envoy-attempt-count: ${this.#attempts.number}\r\n`
    const endpoint = this.#instance.endpoint!
    const { caller, facts } = this.#admitted
    this.#deliver(
      this.#request.begin((head) => headTo(endpoint, head, facts ?? this.#client.facts, caller), attempt),
    )
    if (this.#client.socket.isPaused() && this.#phase === 'sending') this.#client.socket.resume()
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
    if (this.#phase === 'connecting') return this.#connectFailed(error)
    if (this.answering) {
      const out = error === null ? this.#response!.end() : this.#response!.cut()
      if (out.length > 0) this.#toClient(joined(out))
      return this.#settle()
    }
    if (mayReconnect && this.#mayResend) {
      this.#engine.counters.upstreamResent++
      return this.#instance.reconnect()
    }
    this.#engine.counters.upstreamAborted++
    this.#attemptFailed(FAILURE_RESET, upstreamAborted())
  }

  // ---- sending ----

  #deliver(bytes: Buffer): void {
    if (this.#request.bad) {
      this.#engine.counters.bodiesBad++
      return this.#fail(badBody())
    }
    this.#deadlines.touch(performance.now())
    if (bytes.length > 0) this.#toUpstream(bytes)
    if (this.#mirroring && this.#request.done) this.#mirror(this.#mirroring)
  }

  #mirror(mirroring: Mirroring): void {
    this.#mirroring = null
    mirror(this.#engine, mirroring, this.#request.held)
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

  // ---- attempts ----

  /** The whole request is held, and nothing of an answer has gone out, not even an interim one. */
  get #repeatable(): boolean {
    return this.#request.repeatable && this.#response?.hasSent !== true
  }

  #connectFailed(error: NodeJS.ErrnoException | null): void {
    this.#phase = 'waiting'
    this.#engine.counters.upstreamConnectFailed++
    this.#instance.failed(FAILURE_CONNECT)
    if (this.#attempts === null) return this.#instance.connectFailed(error)
    this.#instance.turnedDown()
    this.#judgeFailure(this.#attempts, FAILURE_CONNECT, connectFailed(error?.code ?? 'closed'))
  }

  #attemptFailed(failure: number, refusal: Refusal): void {
    this.#instance.failed(failure)
    if (this.#attempts === null || this.answering) this.#fail(refusal)
    else this.#judgeFailure(this.#attempts, failure, refusal)
  }

  /** The sidecar says whether another attempt is made, or words the reply. */
  #judgeFailure(attempts: Attempts, failure: number, refusal: Refusal): void {
    const facts = attempts.facts(failure, this.#repeatable)
    const reply = judgedReply(this.#engine, this.#admitted.stages, refusal, Date.now(), facts)
    if (reply === 'retried') return this.#again(attempts)
    this.#meter.flags |= refusal.flags | reply.flags
    this.#reply = reply
    this.#client.socket.write(reply.bytes)
    this.#finish()
  }

  #again(attempts: Attempts): void {
    this.#engine.counters.upstreamRetried++
    this.#phase = 'waiting'
    this.#response = null
    this.#instance.release(false)
    this.#delay(attempts.next())
  }

  // ---- receiving ----

  /** Acts on what has become of the answer. */
  #settle(): void {
    const response = this.#response!
    switch (response.state) {
      case 'retried':
        return this.#again(this.#attempts!)
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

  #refuseResponse(): void {
    const { counters } = this.#engine
    const { refusal } = this.#response!
    if (refusal) {
      counters.denied++
      return this.#fail(refusal)
    }
    counters.upstreamBad++
    this.#attemptFailed(FAILURE_RESET, badUpstream())
  }

  // ---- ending ----

  #fail(refusal: Refusal): void {
    if (this.#phase === 'done') return
    this.#meter.flags |= refusal.flags
    if (this.answering) return this.#cutClient()
    this.#client.socket.write(this.#makeReply(refusal).bytes)
    this.#finish()
  }

  #makeReply(refusal: Refusal): LocalReply {
    this.#reply = localReply(this.#engine, this.#admitted.stages, refusal, Date.now())
    return this.#reply
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
    this.#attempts?.end()
    this.#engine.counters.requestsInFlight--
    const response = this.#reply ? null : this.#response
    if (response) this.#meter.flags |= response.flags
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
    const answered = this.#reply === null
    recordExchange(this.#engine, {
      requestId,
      time: this.#time,
      stages,
      head,
      status,
      answered,
      observed,
      figures,
    })
  }

  // ---- time ----

  #timeOut(deadline: Deadline): void {
    if (deadline.kind === 'attempt') {
      this.#engine.counters.attemptsTimedOut++
      return this.#attemptFailed(FAILURE_TIMEOUT, attemptTimedOut(deadline.ms))
    }
    const refusal = refusalOf(deadline, this)
    if (this.#phase === 'waiting') this.#instance.cancel()
    else if (deadline.kind !== 'idle') this.#instance.failed(FAILURE_TIMEOUT)
    this.#fail(refusal)
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
