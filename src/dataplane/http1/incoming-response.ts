import {
  BODY_CLOSE,
  OUT_FLAG_CLOSE_CLIENT,
  OUT_FLAG_KEEP_ALIVE,
  OUT_FLAG_UPGRADE,
} from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import type { Refusal } from '../refusal.ts'
import type { AttemptFacts, Observed } from '../sidecar.ts'
import type { Stage } from './admission.ts'
import type { BodyRelay } from './body-relay.ts'
import { judgeResponse } from './response-head.ts'

/** Interim (1xx) answers before the final one. Each is judged by every sidecar, so an endless row would hold up the whole engine. */
const MAX_INTERIMS = 32

export interface ResponseSurroundings {
  engine: EngineContext
  stages: readonly Stage[]
  /** The instance's address, for logs. */
  upstream: string
  /** The client's connection, in terms of this exchange's body relays. */
  relay(framing: number, length: number, sendFraming: number): BodyRelay
  /** What the sidecar is told of the attempt, as it stands; null where no retry policy applies. */
  attempt: (() => AttemptFacts) | null
  /** Hears the status of the instance's own final head. */
  answered: ((status: number) => void) | null
}

/**
 * An instance's answer as it arrives. `head`: no final head yet; `body`: head out, body under way; `done`; `refused`: the
 * head is not acceptable; `broken`: the head is out and the body can't be what it announced; `switched`: 101; `retried`: nothing of it
 * goes out, as the request is to be sent again; `undelivered`: the instance's node says that it has not reached it.
 */
export class IncomingResponse {
  readonly #surroundings: ResponseSurroundings
  #state: 'head' | 'body' | 'done' | 'refused' | 'broken' | 'switched' | 'retried' | 'undelivered' = 'head'
  #received: Buffer = EMPTY
  #body: BodyRelay | null = null
  #extraBytes = false
  #interims = 0
  #upstreamKeepsAlive = false
  status = 0
  observed: Observed[] = []
  /** What a policy puts in place of an answer that is `refused`. */
  refusal: Refusal | null = null
  /** RESPONSE_FLAG_* bits that its sidecar sets. */
  flags = 0
  /** performance.now() when the final head came; 0 until then. */
  startedAt = 0
  /** The client's connection may carry another request after this answer. */
  clientKeepsAlive = true
  /** The client takes the end of the connection for the end of the body. */
  endsByClose = false

  constructor(surroundings: ResponseSurroundings) {
    this.#surroundings = surroundings
  }

  get state() {
    return this.#state
  }

  /** Nothing of it has arrived. */
  get untouched(): boolean {
    return this.#state === 'head' && this.#received.length === 0 && this.#interims === 0
  }

  /** Part of it has gone out. */
  get hasSent(): boolean {
    return this.status !== 0 || this.#interims > 0
  }

  /** The instance's connection may carry another request. */
  get upstreamReusable(): boolean {
    return this.#state === 'done' && this.#upstreamKeepsAlive && !this.#extraBytes
  }

  /** Bytes of the body sent on so far. */
  get bodyBytes(): number {
    return this.#body?.bytes ?? 0
  }

  /** Takes what has arrived; gives what is to be sent to the client, in order. */
  push(bytes: Buffer): Buffer[] {
    const out: Buffer[] = []
    if (this.#state === 'head') this.#readHead(bytes, out)
    else this.#readBody(bytes, out)
    return out
  }

  /** The instance closed its connection; gives what ends the message towards the client. */
  end(): Buffer[] {
    const out: Buffer[] = []
    this.#body?.end(out)
    this.#judgeBody()
    return out
  }

  /** The instance's connection broke, which is the proper end of no message. */
  cut(): Buffer[] {
    if (this.#state === 'body') this.#state = 'broken'
    return []
  }

  #readHead(bytes: Buffer, out: Buffer[]): void {
    const { engine, stages, upstream, relay, attempt, answered } = this.#surroundings
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    for (;;) {
      const judged = judgeResponse(engine, stages, this.#received, upstream, attempt?.() ?? null)
      if (judged.kind === 'incomplete') return
      if (judged.kind === 'bad' || (judged.kind === 'interim' && ++this.#interims > MAX_INTERIMS)) {
        this.#state = 'refused'
        if (judged.kind === 'bad') this.refusal = judged.refusal
        return
      }
      if (judged.kind === 'undelivered') {
        this.#state = 'undelivered'
        return
      }
      if (judged.kind === 'retried') {
        answered?.(judged.status)
        this.#state = 'retried'
        return
      }
      if (judged.head.length > 0) out.push(judged.head)
      const rest = this.#received.subarray(judged.headLength)
      this.#received = rest
      if (judged.kind === 'interim') continue
      answered?.(judged.status)
      this.status = judged.status
      this.flags = judged.responseFlags
      this.observed = judged.observed
      this.startedAt = performance.now()
      this.#upstreamKeepsAlive = (judged.upstreamFlags & OUT_FLAG_KEEP_ALIVE) !== 0
      this.endsByClose = judged.sendBody === BODY_CLOSE
      this.clientKeepsAlive = (judged.clientFlags & OUT_FLAG_CLOSE_CLIENT) === 0 && !this.endsByClose
      if (judged.upstreamFlags & OUT_FLAG_UPGRADE) {
        this.#state = 'switched'
        if (rest.length > 0) out.push(rest)
        return
      }
      this.#state = 'body'
      this.#body = relay(judged.body, judged.bodyLength, judged.sendBody)
      return this.#readBody(rest, out)
    }
  }

  #readBody(bytes: Buffer, out: Buffer[]): void {
    const end = this.#body!.push(bytes, 0, out)
    if (end < bytes.length) this.#extraBytes = true // bytes behind the answer belong to no request
    this.#judgeBody()
  }

  #judgeBody(): void {
    if (this.#body?.bad) this.#state = 'broken'
    else if (this.#body?.done) this.#state = 'done'
  }
}

const EMPTY: Buffer = Buffer.alloc(0)
