import type { BodyRelay } from './body-relay.ts'
import type { ExchangeMeter } from './exchange-meter.ts'

/** One request's bytes on their way to an instance, and again to another one where it has to be repeated. */
export class OutgoingRequest {
  readonly #body: BodyRelay
  readonly #most: number
  readonly #meter: ExchangeMeter
  readonly #giveBack: (bytes: Buffer) => void
  /** Bytes of the client that came while there was no connection to send them on. */
  #pending: Buffer = EMPTY
  /** What of the body has gone out, as it was sent; null: it is not kept (any more). */
  #held: Buffer[] | null
  #heldBytes = 0

  /**
   * `most`: so many bytes of the body are kept to be sent again; 0: none, as nobody would. `giveBack` gets what the client sent
   * behind the body.
   */
  constructor(body: BodyRelay, most: number, meter: ExchangeMeter, giveBack: (bytes: Buffer) => void) {
    this.#body = body
    this.#most = most
    this.#meter = meter
    this.#giveBack = giveBack
    this.#held = most > 0 ? [] : null
  }

  /** The body has come to its end. */
  get done(): boolean {
    return this.#body.done
  }

  /** What arrived can't be the body that the head announced. */
  get bad(): boolean {
    return this.#body.bad
  }

  /** Bytes of the body so far. */
  get bytes(): number {
    return this.#body.bytes
  }

  /** All that has gone out is kept. */
  get repeatable(): boolean {
    return this.#held !== null
  }

  /** What of the body has gone out, framed as it was sent; null: it is not kept. */
  get held(): readonly Buffer[] | null {
    return this.#held
  }

  /** Bytes that wait for a connection. */
  get pendingBytes(): number {
    return this.#pending.length
  }

  /** Keeps the client's bytes until there is a connection. */
  wait(bytes: Buffer): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
  }

  /** All that is to go out on a new connection, behind the head. */
  begin(head: Buffer): Buffer {
    const out = [head]
    if (this.#held) out.push(...this.#held)
    const pending = this.#pending
    this.#pending = EMPTY
    this.#take(pending, out)
    return joined(out)
  }

  /** Takes the client's bytes; gives what is to go out. */
  push(bytes: Buffer): Buffer {
    const out: Buffer[] = []
    this.#take(bytes, out)
    return joined(out)
  }

  #take(bytes: Buffer, out: Buffer[]): void {
    const first = out.length
    const end = this.#body.push(bytes, 0, out)
    if (this.#held && out.length > first) this.#hold(out, first)
    if (!this.#body.done) return
    const now = performance.now()
    this.#meter.receivedAt ||= now
    this.#meter.sentAt = now
    this.#giveBack(bytes.subarray(end))
  }

  #hold(out: Buffer[], first: number): void {
    for (let i = first; i < out.length; i++) this.#heldBytes += out[i]!.length
    if (this.#heldBytes > this.#most) this.#held = null
    else for (let i = first; i < out.length; i++) this.#held!.push(out[i]!)
  }
}

function joined(parts: Buffer[]): Buffer {
  if (parts.length === 0) return EMPTY
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

const EMPTY = Buffer.alloc(0)
