import { BODY_NONE, OUT_FLAG_IDEMPOTENT, OUT_FLAG_UPGRADE } from '../../sidecar/layout/record.ts'
import { FAILURE_CONNECT, FAILURE_RESET } from '../../sidecar/layout/retry.ts'
import type { Endpoint } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import { badBody, connectFailed, type Refusal, upstreamAborted } from '../refusal.ts'
import type { Admitted } from './admission.ts'
import { Attempts } from './attempts.ts'
import { BodyRelay } from './body-relay.ts'
import type { ClientConnection } from './client-connection.ts'
import type { ExchangeDeadlines } from './exchange-deadlines.ts'
import type { ExchangeMeter } from './exchange-meter.ts'
import { endpointSource, linkTo, UNDELIVERED } from './forwarding.ts'
import { IncomingResponse } from './incoming-response.ts'
import { type HoldUser, InstanceHold } from './instance-hold.ts'
import { judgedReply, type LocalReply } from './local-reply.ts'
import { type Mirroring, mirror } from './mirroring.ts'
import { OutgoingRequest } from './outgoing-request.ts'
import { OwnSide } from './own-side.ts'

/** The exchange whose request is delivered. */
export interface DeliveryUser {
  readonly deadlines: ExchangeDeadlines
  readonly meter: ExchangeMeter
  /** No instance answers: this is said instead. */
  fail(refusal: Refusal): void
  /** The same, as the sidecar has worded it. */
  answer(reply: LocalReply): void
  /** Something has become of the answer (`response.state`). */
  settle(): void
}

export type DeliveryPhase = 'waiting' | 'judging' | 'connecting' | 'sending' | 'receiving' | 'tunnel' | 'done'

/**
 * A request's way to an instance and its answer's way back: waiting, judging (what was left to the instance's node, where that is
 * this one), connecting, sending, receiving; and waiting again where an attempt came to nothing and another one is made. From
 * `tunnel` on (101), bytes flow freely both ways.
 */
export class Delivery implements HoldUser {
  readonly #engine: EngineContext
  readonly #client: ClientConnection
  readonly #admitted: Admitted
  readonly #user: DeliveryUser
  readonly #instance: InstanceHold
  /** null: its route has no retry policy. */
  readonly #attempts: Attempts | null
  /** What copies are made of when the whole request is there; null: none are, or they are made. */
  #mirroring: Mirroring | null
  readonly judged: OwnSide
  readonly request: OutgoingRequest
  phase: DeliveryPhase = 'waiting'
  /** The engine that chose the instance is told that it was not reached, and reports what comes of the request. */
  undelivered = false
  /** What the instance answers, from the moment that it was granted. */
  response: IncomingResponse | null = null

  constructor(client: ClientConnection, admitted: Admitted, user: DeliveryUser) {
    const { engine } = client
    const { way, body, bodyLength, sendBody, flags } = admitted
    this.#engine = engine
    this.#client = client
    this.#admitted = admitted
    this.#user = user
    this.judged = new OwnSide(engine, admitted, client.facts)
    this.#attempts = way?.retry ? new Attempts(way.retry, way.circuit, Math.random) : null
    // A connection that switches protocols is no request that could be copied.
    this.#mirroring = (flags & OUT_FLAG_UPGRADE) === 0 ? (way?.mirroring ?? null) : null
    this.#instance = new InstanceHold(
      engine,
      endpointSource(admitted),
      (endpoint) => linkTo(engine, admitted, endpoint),
      way && { circuit: way.circuit, hash: way.hash, tried: null },
      this,
    )
    this.request = new OutgoingRequest(
      this.#relay(body, bodyLength, sendBody),
      this.#attempts || this.#mirroring || engine.node?.forwards ? engine.mesh.limits.maxPipelinedBytes : 0,
      user.meter,
      (rest) => client.keep(rest),
    )
  }

  /** Part of the instance's answer has gone out to the client, so no other answer can. */
  get answering(): boolean {
    return this.response !== null && this.response.status !== 0
  }

  /** The client does not read, so the instance waits. */
  get instanceIsPaused(): boolean {
    return this.#instance.socket?.isPaused() === true
  }

  /** Asks for an instance, after `delayMs` milliseconds. */
  begin(delayMs: number): void {
    if (delayMs === 0) this.#instance.acquire()
    else this.#hold(delayMs)
  }

  /** Takes what the client sends. */
  push(bytes: Buffer): void {
    if (this.phase === 'tunnel') return this.toUpstream(bytes)
    if (this.request.done) return this.#client.keep(bytes)
    if (this.phase === 'sending' || this.phase === 'receiving') return this.#send(this.request.push(bytes))
    this.request.wait(bytes)
    if (this.request.pendingBytes > this.#engine.mesh.limits.maxPipelinedBytes) this.#client.socket.pause()
  }

  toUpstream(bytes: Buffer): void {
    const { socket } = this.#instance
    if (socket && !socket.write(bytes)) this.#client.socket.pause()
  }

  clientDrained(): void {
    this.#instance.socket?.resume()
  }

  /** The client sends no more into the tunnel. */
  endUpstream(): void {
    this.#instance.socket?.end()
  }

  /** Nothing more comes of it; `reusable` where the connection may carry another request. */
  end(reusable: boolean): void {
    if (this.phase === 'waiting') this.#instance.cancel()
    if (this.phase === 'judging') this.judged.cancel()
    this.phase = 'done'
    this.#attempts?.end()
    this.#instance.release(reusable)
  }

  /** The attempt has come to nothing (FAILURE_*). */
  attemptFailed(failure: number, refusal: Refusal): void {
    this.failed(failure)
    if (this.#attempts === null || this.answering) this.#user.fail(refusal)
    else this.#judgeFailure(this.#attempts, failure, refusal)
  }

  /** Outlier detection hears of it, and nothing else comes of it here. */
  failed(failure: number): void {
    this.#instance.failed(failure)
  }

  // ---- the hold on an instance ----

  instanceGranted(endpoint: Endpoint): void {
    this.#attempts?.sentTo(endpoint)
    this.phase = 'judging'
    this.judged.judge(endpoint, this.#attempts, (refusal) => {
      if (refusal) this.#user.fail(refusal)
      else this.#connect(endpoint)
    })
  }

  #connect(endpoint: Endpoint): void {
    this.phase = 'connecting'
    this.response = new IncomingResponse({
      engine: this.#engine,
      stages: this.judged.stages,
      upstream: endpoint.address,
      relay: (framing, length, sendFraming) => this.#relay(framing, length, sendFraming),
      attempt: this.#attempts && (() => this.#attempts!.answered(this.#repeatable)),
      answered: this.#admitted.way && ((status) => this.#instance.answered(status)),
    })
    this.#instance.connect()
  }

  instanceRefused(refusal: Refusal): void {
    // Another node's engine, which chose the instance, may choose another one.
    const chosen = this.#admitted.instance !== null
    this.undelivered = chosen
    this.#user.fail(chosen ? { ...refusal, fields: `${refusal.fields}${UNDELIVERED}` } : refusal)
  }

  upstreamConnected(): void {
    this.#instance.connected()
    this.phase = 'sending'
    this.#user.deadlines.delivered(performance.now())
    this.#send(this.request.begin(this.judged.head))
    if (this.#client.socket.isPaused() && this.phase === 'sending') this.#client.socket.resume()
  }

  upstreamDrained(): void {
    if (this.#client.socket.isPaused()) this.#client.socket.resume()
  }

  upstreamBytes(bytes: Buffer): void {
    this.#user.deadlines.answered(performance.now())
    if (this.phase === 'tunnel') {
      this.#user.meter.tunnelSent += bytes.length
      return this.#toClient(bytes)
    }
    this.#pass(this.response!.push(bytes))
  }

  upstreamEnded(error: NodeJS.ErrnoException | null): void {
    const mayReconnect = this.#instance.lost()
    if (this.phase === 'connecting') return this.#connectFailed(error)
    if (this.phase === 'tunnel') return this.#user.settle()
    if (this.answering) return this.#pass(error === null ? this.response!.end() : this.response!.cut())
    if (mayReconnect && this.#mayResend) {
      this.#engine.counters.upstreamResent++
      return this.#connect(this.#instance.endpoint!)
    }
    this.#engine.counters.upstreamAborted++
    this.attemptFailed(FAILURE_RESET, upstreamAborted())
  }

  // ---- sending ----

  #send(bytes: Buffer): void {
    if (this.request.bad) {
      this.#engine.counters.bodiesBad++
      return this.#user.fail(badBody())
    }
    this.#user.deadlines.touch(performance.now())
    if (bytes.length > 0) this.toUpstream(bytes)
    if (this.#mirroring && this.request.done) {
      const mirroring = this.#mirroring
      this.#mirroring = null
      mirror(this.#engine, mirroring, this.request.held)
    }
  }

  /** An instance may close a kept-alive connection just as a request goes out on it (RFC 9110 9.2.2 says when to repeat). */
  get #mayResend(): boolean {
    const { body, flags } = this.#admitted
    return this.response!.untouched && body === BODY_NONE && (flags & OUT_FLAG_IDEMPOTENT) !== 0
  }

  // ---- receiving ----

  /** Passes on what an answer has come to. */
  #pass(out: Buffer[]): void {
    if (out.length > 0) this.#toClient(out.length === 1 ? out[0]! : Buffer.concat(out))
    const { state } = this.response!
    if (state === 'undelivered') this.#undelivered()
    else if (state === 'retried') this.#again(this.#attempts!)
    else this.#user.settle()
  }

  #toClient(bytes: Buffer): void {
    if (!this.#client.socket.write(bytes)) this.#instance.socket?.pause()
  }

  // ---- attempts ----

  /** The whole request is held, and nothing of an answer has gone out, not even an interim one. */
  get #repeatable(): boolean {
    return this.request.repeatable && this.response?.hasSent !== true
  }

  #connectFailed(error: NodeJS.ErrnoException | null): void {
    this.phase = 'waiting'
    this.judged.forget()
    this.#engine.counters.upstreamConnectFailed++
    this.failed(FAILURE_CONNECT)
    if (this.#attempts === null) return this.#instance.connectFailed(error)
    this.#instance.turnedDown()
    this.#judgeFailure(this.#attempts, FAILURE_CONNECT, connectFailed(error?.code ?? 'closed'))
  }

  /** As if the instance had refused the connection itself; a request that is too long to be held cannot be sent again. */
  #undelivered(): void {
    this.#instance.lose()
    const error = Object.assign(new Error('not delivered'), { code: 'UNDELIVERED' })
    if (this.#attempts !== null || this.#repeatable) return this.#connectFailed(error)
    this.#engine.counters.upstreamConnectFailed++
    this.failed(FAILURE_CONNECT)
    this.#user.fail(connectFailed(error.code))
  }

  /** The sidecar says whether another attempt is made, or words the reply. */
  #judgeFailure(attempts: Attempts, failure: number, refusal: Refusal): void {
    const facts = attempts.facts(failure, this.#repeatable)
    const reply = judgedReply(this.#engine, this.judged.stages, refusal, Date.now(), facts)
    if (reply === 'retried') return this.#again(attempts)
    this.#user.meter.flags |= refusal.flags
    this.#user.answer(reply)
  }

  #again(attempts: Attempts): void {
    this.#engine.counters.upstreamRetried++
    this.phase = 'waiting'
    this.response = null
    this.judged.forget()
    this.#instance.release(false)
    const backOffMs = attempts.next()
    this.#instance.avoid(attempts.tried)
    this.#hold(backOffMs)
  }

  #hold(ms: number): void {
    this.#user.meter.heldUntil = performance.now() + ms
    this.#instance.acquireAfter(ms)
  }

  #relay(framing: number, length: number, sendFraming: number): BodyRelay {
    const { maxTrailerBytes } = this.#engine.mesh.limits
    return new BodyRelay(framing, length, sendFraming, maxTrailerBytes, (section) =>
      this.#engine.sidecars.trailers(section, this.#client.facts.direction),
    )
  }
}
