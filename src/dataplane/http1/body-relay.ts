import { BodyReader } from './body-reader.ts'
import { endBody, writeBody } from './body-writer.ts'

/** Carries one body from the framing in which it arrives to the framing in which it is sent. */
export class BodyRelay {
  readonly #reader: BodyReader
  readonly #sendFraming: number
  readonly #judgeTrailers: (section: Buffer) => Buffer | null
  #trailersBad = false
  #ended = false
  /** Bytes of the body so far, without framing. */
  bytes = 0

  /** `judgeTrailers` gives the trailer section to send on, null where it is not acceptable. */
  constructor(
    framing: number,
    length: number,
    sendFraming: number,
    maxTrailerBytes: number,
    judgeTrailers: (section: Buffer) => Buffer | null,
  ) {
    this.#reader = new BodyReader(framing, length, maxTrailerBytes)
    this.#sendFraming = sendFraming
    this.#judgeTrailers = judgeTrailers
  }

  /** The body has been read to its end. */
  get done(): boolean {
    return this.#reader.done && !this.#trailersBad
  }

  /** What arrived can't be the body that the head announced. */
  get bad(): boolean {
    return this.#reader.bad || this.#trailersBad
  }

  /** Reads the body in `input` from `start` on and appends what is to be sent to `out`; gives the offset of the first byte after the body. */
  push(input: Buffer, start: number, out: Buffer[]): number {
    const slices: Buffer[] = []
    const end = this.#reader.read(input, start, slices)
    for (const slice of slices) this.bytes += slice.length
    writeBody(this.#sendFraming, slices, out)
    this.#finish(out)
    return end
  }

  /** The sender closed the connection. */
  end(out: Buffer[]): void {
    this.#reader.end()
    this.#finish(out)
  }

  #finish(out: Buffer[]): void {
    if (!this.#reader.done || this.#ended) return
    this.#ended = true
    const received = this.#reader.trailers
    if (received.length <= 2) return endBody(this.#sendFraming, null, out)
    const trailers = this.#judgeTrailers(received)
    if (trailers === null) this.#trailersBad = true
    else endBody(this.#sendFraming, trailers, out)
  }
}
