import type { Endpoint } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import type { ConnectionFacts } from '../sidecar.ts'
import type { Admitted } from './admission.ts'
import { BodyRelay } from './body-relay.ts'
import { ExchangeMeter } from './exchange-meter.ts'
import { recordExchange } from './exchange-record.ts'
import { endpointSource, linkTo } from './forwarding.ts'
import { IncomingResponse } from './incoming-response.ts'
import { type HoldUser, InstanceHold } from './instance-hold.ts'
import { OwnSide } from './own-side.ts'

/** A copy of a request: sent once as it is, its answer read to its end and dropped. */
export class MirroredExchange implements HoldUser {
  readonly #engine: EngineContext
  readonly #admitted: Admitted
  readonly #facts: ConnectionFacts
  readonly #judged: OwnSide
  readonly #body: readonly Buffer[]
  readonly #ended: () => void
  readonly #instance: InstanceHold
  readonly #meter = new ExchangeMeter(performance.now())
  readonly #time = Date.now()
  #phase: 'waiting' | 'judging' | 'connecting' | 'sent' | 'done' = 'waiting'
  #response: IncomingResponse | null = null
  #timer: NodeJS.Timeout | null = null

  /** `ended` is called once, whatever comes of it. */
  constructor(
    engine: EngineContext,
    admitted: Admitted,
    facts: ConnectionFacts,
    body: readonly Buffer[],
    ended: () => void,
  ) {
    this.#engine = engine
    this.#admitted = admitted
    this.#facts = facts
    this.#judged = new OwnSide(engine, admitted, facts)
    this.#body = body
    this.#ended = ended
    const { way } = admitted
    this.#instance = new InstanceHold(
      engine,
      endpointSource(admitted),
      (endpoint) => linkTo(engine, admitted, endpoint),
      way && { circuit: way.circuit, hash: way.hash, tried: null },
      this,
    )
  }

  start(): void {
    this.#timer = setTimeout(() => this.#end(), this.#admitted.callee.slice.timeoutMs)
    this.#instance.acquire()
  }

  instanceGranted(endpoint: Endpoint): void {
    this.#phase = 'judging'
    this.#judged.judge(endpoint, null, (refusal) => {
      if (refusal) this.#end()
      else this.#connect(endpoint)
    })
  }

  #connect(endpoint: Endpoint): void {
    this.#phase = 'connecting'
    const { maxTrailerBytes } = this.#engine.mesh.limits
    this.#response = new IncomingResponse({
      engine: this.#engine,
      stages: this.#judged.stages,
      upstream: endpoint.address,
      relay: (framing, length, sendFraming) =>
        new BodyRelay(framing, length, sendFraming, maxTrailerBytes, (section) =>
          this.#engine.sidecars.trailers(section, this.#facts.direction),
        ),
      attempt: null,
      answered: (status) => this.#instance.answered(status),
    })
    this.#instance.connect()
  }

  instanceRefused(): void {
    this.#end()
  }

  upstreamConnected(): void {
    this.#phase = 'sent'
    this.#instance.connected()
    this.#instance.socket!.write(Buffer.concat([this.#judged.head, ...this.#body]))
    this.#meter.receivedAt = this.#meter.startedAt
    this.#meter.sentAt = performance.now()
  }

  upstreamBytes(bytes: Buffer): void {
    this.#response!.push(bytes)
    this.#look()
  }

  upstreamDrained(): void {}

  upstreamEnded(error: NodeJS.ErrnoException | null): void {
    this.#instance.lost()
    if (this.#phase === 'connecting') {
      this.#phase = 'waiting'
      return this.#instance.connectFailed(error)
    }
    this.#response!.end()
    this.#look()
    this.#end()
  }

  #look(): void {
    const { state } = this.#response!
    if (state !== 'head' && state !== 'body') this.#end()
  }

  #end(): void {
    if (this.#phase === 'done') return
    if (this.#phase === 'waiting') this.#instance.cancel()
    if (this.#phase === 'judging') this.#judged.cancel()
    this.#phase = 'done'
    clearTimeout(this.#timer!)
    this.#instance.release(this.#response?.upstreamReusable === true)
    this.#record()
    this.#ended()
  }

  /** By the receiver's own side alone, as in Istio: the sender's says nothing of copies. */
  #record(): void {
    const response = this.#response
    if (response === null || response.status === 0) return
    const { requestId, head } = this.#admitted
    const { records: stages } = this.#judged
    const bodyBytes = this.#body.reduce((sum, { length }) => sum + length, 0)
    const figures = this.#meter.figures(bodyBytes, response.bodyBytes, response.startedAt)
    const { status, observed } = response
    recordExchange(this.#engine, {
      requestId,
      time: this.#time,
      stages,
      head,
      status,
      answered: true,
      observed,
      figures,
    })
  }
}
