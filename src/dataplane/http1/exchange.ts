import { OUT_FLAG_KEEP_ALIVE, RESPONSE_FLAG_DI, RESPONSE_FLAG_UC } from '../../sidecar/layout/record.ts'
import { FAILURE_RESET, FAILURE_TIMEOUT } from '../../sidecar/layout/retry.ts'
import type { EngineContext } from '../engine-context.ts'
import { attemptTimedOut, badUpstream, type Refusal } from '../refusal.ts'
import type { Admitted } from './admission.ts'
import type { ClientConnection } from './client-connection.ts'
import { Delivery, type DeliveryUser } from './delivery.ts'
import { boundsOf, refusalOf } from './exchange-bounds.ts'
import { type Deadline, ExchangeDeadlines } from './exchange-deadlines.ts'
import { ExchangeMeter } from './exchange-meter.ts'
import { recordExchange } from './exchange-record.ts'
import { type LocalReply, localReply } from './local-reply.ts'

/** One admitted request and its response: its delivery, or what the mesh itself answers instead. */
export class Exchange implements DeliveryUser {
  readonly #client: ClientConnection
  /** Milliseconds since the epoch at which the head had arrived. */
  readonly #time: number
  readonly engine: EngineContext
  readonly admitted: Admitted
  readonly meter: ExchangeMeter
  readonly delivery: Delivery
  readonly deadlines: ExchangeDeadlines
  /** What the mesh itself answers. */
  #reply: LocalReply | null = null

  constructor(client: ClientConnection, admitted: Admitted, startedAt: number, time: number) {
    const { engine } = client
    this.#client = client
    this.#time = time
    this.engine = engine
    this.admitted = admitted
    this.meter = new ExchangeMeter(startedAt)
    this.delivery = new Delivery(client, admitted, this)
    this.deadlines = new ExchangeDeadlines(
      startedAt,
      engine.mesh.limits.streamIdleTimeoutMs,
      () => boundsOf(this),
      (deadline) => this.#timeOut(deadline),
    )
    engine.counters.requestsInFlight++
  }

  /** `rest` is what the client sent behind the head. */
  start(rest: Buffer): void {
    const { request } = this.delivery
    if (request.done) {
      this.meter.receivedAt = this.meter.startedAt
      this.#client.keep(rest)
    } else request.wait(rest)
    const delayMs = this.admitted.way?.delayMs ?? 0
    if (delayMs > 0) {
      this.meter.flags |= RESPONSE_FLAG_DI
      this.engine.counters.requestsDelayed++
    }
    this.delivery.begin(delayMs)
  }

  // ---- the client's side ----

  clientBytes(bytes: Buffer): void {
    if (this.delivery.phase === 'tunnel') {
      this.deadlines.touch(performance.now())
      this.meter.tunnelReceived += bytes.length
    }
    this.delivery.push(bytes)
  }

  clientDrained(): void {
    this.delivery.clientDrained()
  }

  /** The client sends no more; true where that is passed on, so that the rest may still come back. */
  clientEnded(): boolean {
    if (this.delivery.phase !== 'tunnel') return false
    this.delivery.endUpstream()
    return true
  }

  /** The client went away; `flag` (RESPONSE_FLAG_*) says how. */
  clientGone(flag: number): void {
    const { phase, answering } = this.delivery
    if (phase === 'done') return
    this.meter.flags |= flag
    if (phase !== 'tunnel') this.engine.counters.clientsAborted++
    if (!answering) this.#reply = this.#word({ status: 499, text: '', fields: '', flags: this.meter.flags })
    this.#finish()
  }

  // ---- what comes of the delivery ----

  settle(): void {
    const response = this.delivery.response!
    switch (response.state) {
      case 'refused':
        return this.#refuseResponse(response.refusal)
      case 'broken':
        this.engine.counters.upstreamAborted++
        this.meter.flags |= RESPONSE_FLAG_UC
        return this.#cutClient()
      case 'switched':
        return this.delivery.phase === 'tunnel' ? this.#finish() : this.#openTunnel()
      case 'done':
        return this.#finish()
      case 'body':
        if (this.delivery.phase === 'sending' && this.delivery.request.done) this.delivery.phase = 'receiving'
    }
  }

  fail(refusal: Refusal): void {
    if (this.delivery.phase === 'done') return
    this.meter.flags |= refusal.flags
    if (this.delivery.answering) this.#cutClient()
    else this.answer(this.#word(refusal))
  }

  answer(reply: LocalReply): void {
    this.meter.flags |= reply.flags
    this.#reply = reply
    this.#client.socket.write(reply.bytes)
    this.#finish()
  }

  #refuseResponse(instead: Refusal | null): void {
    const { counters } = this.engine
    if (instead) {
      counters.denied++
      return this.fail(instead)
    }
    counters.upstreamBad++
    this.delivery.attemptFailed(FAILURE_RESET, badUpstream())
  }

  #openTunnel(): void {
    this.engine.counters.upgraded++
    this.delivery.phase = 'tunnel'
    this.#client.socket.resume()
    const early = this.#client.takeKept()
    this.meter.tunnelReceived += early.length
    if (early.length > 0) this.delivery.toUpstream(early)
  }

  // ---- ending ----

  #word(refusal: Refusal): LocalReply {
    return localReply(this.engine, this.delivery.judged.stages, refusal, Date.now())
  }

  /** Part of the answer is out, so all that can be said is that it ends here. */
  #cutClient(): void {
    // Where the end of the connection would mean the end of the body, only a reset says that it is not whole.
    if (this.delivery.response?.endsByClose) this.#client.socket.resetAndDestroy()
    else this.#client.socket.destroy()
    this.#finish()
  }

  #finish(): void {
    const { delivery, engine } = this
    if (delivery.phase === 'done') return
    this.deadlines.stop()
    engine.counters.requestsInFlight--
    const response = this.#reply ? null : delivery.response
    const { done } = delivery.request
    if (response) this.meter.flags |= response.flags
    delivery.end(response?.upstreamReusable === true && done)
    this.#record()
    const keepAlive = (this.admitted.flags & OUT_FLAG_KEEP_ALIVE) !== 0 && done
    this.#client.exchangeEnded(
      keepAlive && (this.#reply !== null || (response?.state === 'done' && response.clientKeepsAlive)),
    )
  }

  #record(): void {
    if (this.delivery.undelivered) return
    const { requestId, head } = this.admitted
    const { request, response, judged } = this.delivery
    const answer = this.#reply ?? response!
    const answeredAt = this.#reply ? null : response!.startedAt
    const figures = this.meter.figures(request.bytes, answer.bodyBytes, answeredAt)
    const { status, observed } = answer
    const answered = this.#reply === null
    recordExchange(this.engine, {
      requestId,
      time: this.#time,
      stages: judged.records,
      head,
      status,
      answered,
      observed,
      figures,
    })
  }

  #timeOut(deadline: Deadline): void {
    if (deadline.kind === 'attempt') {
      this.engine.counters.attemptsTimedOut++
      return this.delivery.attemptFailed(FAILURE_TIMEOUT, attemptTimedOut(deadline.ms))
    }
    const refusal = refusalOf(deadline, this)
    // Where the client is to send on, it is the one that was too slow.
    if (deadline.kind !== 'idle') this.delivery.failed(FAILURE_TIMEOUT)
    this.fail(refusal)
  }
}
