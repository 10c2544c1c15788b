import type { Socket } from 'node:net'
import { RESPONSE_FLAG_DC } from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import { headTimedOut } from '../refusal.ts'
import type { ConnectionFacts } from '../sidecar.ts'
import type { Admission, Origin } from './admission.ts'
import { admit } from './admit.ts'
import { Exchange } from './exchange.ts'
import { answerRefused } from './local-reply.ts'
import { refusedBeforeHead } from './refused-request.ts'

/** A client that has shut down its sending side still gets an answer that is ready within this time, in milliseconds; after it, the request counts as abandoned. */
const HALF_CLOSED_MS = 250
/** After a reply that ends a connection, bytes on their way are read and dropped for this long, so that a reset does not overtake the reply (RFC 9112 9.6). */
const LINGER_MS = 1_000

/** One client's HTTP/1.1 connection: its requests are answered one after the other, in their order. */
export class ClientConnection {
  readonly engine: EngineContext
  readonly socket: Socket
  readonly facts: ConnectionFacts
  readonly origin: Origin
  /** Received and not yet used: the next head, or what was pipelined behind the present request. */
  #received: Buffer = EMPTY
  #exchange: Exchange | null = null
  #timer: NodeJS.Timeout
  #timerKind: 'idle' | 'head' | 'busy' = 'idle'
  #closing = false
  #parsing = false
  /** A sidecar waits for what it needs to judge the head at the start of what was received. */
  #judging = false
  /** An answer that a fault of its route holds back. */
  #heldBack: NodeJS.Timeout | null = null

  constructor(engine: EngineContext, socket: Socket, facts: ConnectionFacts, origin: Origin) {
    this.engine = engine
    this.socket = socket
    this.facts = facts
    this.origin = origin
    this.#timer = setTimeout(() => this.#timeOut(), engine.mesh.limits.headTimeoutMs)
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('drain', () => this.#onDrain())
    socket.on('end', () => this.#onEnd())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#onClose())
  }

  get idle(): boolean {
    return this.#exchange === null && this.#received.length === 0
  }

  /** The exchange is over; `reusable` where another request may follow on this connection. */
  exchangeEnded(reusable: boolean): void {
    this.#exchange = null
    const nothingFollows = this.socket.readableEnded && this.#received.length === 0
    if (!reusable || this.engine.draining || this.socket.destroyed || nothingFollows) return this.close()
    if (this.socket.isPaused()) this.socket.resume()
    this.#next()
  }

  /** Ends the connection after what was written has gone out. */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    this.#received = EMPTY
    clearTimeout(this.#timer)
    if (this.socket.destroyed) return
    this.#timer = setTimeout(() => this.socket.destroy(), this.engine.mesh.limits.streamIdleTimeoutMs)
    this.socket.once('finish', () => {
      clearTimeout(this.#timer)
      if (!this.socket.destroyed) this.#timer = setTimeout(() => this.socket.destroy(), LINGER_MS)
    })
    this.socket.end()
    this.socket.resume()
  }

  /** Gives bytes back that were read beyond the present request. */
  keep(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    if (this.#received.length > this.engine.mesh.limits.maxPipelinedBytes && !this.socket.isPaused()) {
      this.engine.counters.pipelinePaused++
      this.socket.pause()
    }
  }

  /** Takes what was kept: it belongs to the protocol that the connection was switched to. */
  takeKept(): Buffer {
    const kept = this.#received
    this.#received = EMPTY
    return kept
  }

  #onData(bytes: Buffer): void {
    if (this.#closing) return
    if (this.#exchange) return this.#exchange.clientBytes(bytes)
    this.keep(bytes)
    if (!this.#judging) this.#next()
  }

  #onDrain(): void {
    if (this.#exchange) return this.#exchange.clientDrained()
    if (this.#closing || this.#judging) return
    if (this.socket.isPaused()) this.socket.resume()
    this.#next()
  }

  /** Judges the requests that have arrived, up to the first that is not answered at once. */
  #next(): void {
    if (this.#parsing) return // an answer given inside the loop below comes back here
    this.#parsing = true
    // A client that does not read its answers gets no more of them made.
    while (
      this.#exchange === null &&
      !this.#judging &&
      !this.#closing &&
      this.#received.length > 0 &&
      !this.socket.writableNeedDrain
    ) {
      if (!this.#judge()) break
    }
    this.#parsing = false
    if (this.#exchange !== null || this.#judging || this.#closing) return
    const unread = this.socket.writableNeedDrain
    if (this.socket.readableEnded && !unread) return this.close() // what is left is no whole head, and no more comes
    this.#arm(this.#received.length > 0 && !unread ? 'head' : 'idle')
    if (this.socket.isPaused() && !unread) this.socket.resume()
  }

  /** False where more bytes are needed. */
  #judge(): boolean {
    const { engine } = this
    const startedAt = performance.now()
    const now = Date.now()
    const admission = admit(engine, this.facts, this.origin, this.#received, now)
    if (admission instanceof Promise) {
      this.#judging = true
      this.#timerKind = 'busy'
      admission.then((settled) => this.#judged(settled, startedAt, now))
      return false
    }
    if (admission.kind === 'incomplete') return false
    this.#act(admission, startedAt, now)
    return true
  }

  /** The sidecars have what they waited for. */
  #judged(admission: Admission, startedAt: number, now: number): void {
    this.#judging = false
    if (this.#closing || admission.kind === 'incomplete') {
      this.engine.counters.clientsAborted++
      return
    }
    this.#act(admission, startedAt, now)
    if (this.#exchange === null) this.#next()
  }

  #act(admission: Exclude<Admission, { kind: 'incomplete' }>, startedAt: number, now: number): void {
    const { engine } = this
    if (admission.kind === 'refused' && admission.delayMs) {
      const { delayMs, ...answer } = admission
      return this.#holdBack(delayMs, () => this.#act(answer, startedAt, now))
    }
    engine.counters.requests++
    const rest = this.#received.subarray(admission.headLength)
    this.#received = EMPTY
    this.#timerKind = 'busy'
    if (admission.kind === 'refused') {
      answerRefused(this, admission, startedAt, now)
      if (!admission.reusable || engine.draining) this.close()
      else this.#received = rest
      return
    }
    const exchange = new Exchange(this, admission, startedAt, now)
    this.#exchange = exchange
    exchange.start(rest)
  }

  /** Waits as for a sidecar's needs. */
  #holdBack(ms: number, act: () => void): void {
    const { counters } = this.engine
    counters.requestsWaiting++
    this.#judging = true
    this.#timerKind = 'busy'
    this.#heldBack = setTimeout(() => {
      this.#heldBack = null
      this.#judging = false
      counters.requestsWaiting--
      act()
      this.#next()
    }, ms)
  }

  #onEnd(): void {
    if (this.#exchange === null && !this.#judging) return this.close()
    if (this.#exchange?.clientEnded()) return
    // Another node's engine ends a connection only where its own client has gone away.
    if (this.origin.kind === 'node') return void this.socket.destroy()
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.socket.destroy(), HALF_CLOSED_MS)
  }

  #onClose(): void {
    clearTimeout(this.#timer)
    this.#closing = true
    this.#exchange?.clientGone(RESPONSE_FLAG_DC)
    this.#exchange = null
    if (this.#heldBack === null) return
    clearTimeout(this.#heldBack)
    this.#heldBack = null
    this.engine.counters.requestsWaiting--
    this.engine.counters.clientsAborted++
  }

  /** The timer stays armed while a request is under way and is ignored then: re-arming it twice a request costs more. */
  #arm(kind: 'idle' | 'head'): void {
    if (kind === 'head' && this.#timerKind === 'head') return // a head has one deadline, however it trickles in
    const { limits } = this.engine.mesh
    this.#timerKind = kind
    clearTimeout(this.#timer)
    this.#timer = setTimeout(
      () => this.#timeOut(),
      kind === 'head' ? limits.headTimeoutMs : limits.keepAliveTimeoutMs,
    )
  }

  #timeOut(): void {
    if (this.#exchange !== null || this.#judging) return
    if (this.#timerKind === 'head') {
      this.engine.counters.headsTimedOut++
      answerRefused(this, refusedBeforeHead(this.engine, headTimedOut()), performance.now(), Date.now())
    }
    this.close()
  }
}

const EMPTY = Buffer.alloc(0)
