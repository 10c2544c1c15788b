// Takes the framing off a body: RFC 9112 sections 6 and 7.1, strictly. It never guesses: the first byte that the grammar
// does not allow makes the message bad, and the connection that carried it is closed.

import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH } from '../../sidecar/layout/record.ts'

const CR = 0x0d
const LF = 0x0a
/** 13 hexadecimal digits stay below 2^53, so a size is exact as a number. */
const MAX_SIZE_DIGITS = 13
/** Chunk extensions mean nothing to anyone here; they are read up to this many bytes for each chunk and dropped. */
const MAX_EXTENSION_BYTES = 1024

// A const object, since the states are compared on each byte of framing.
const State = {
  Size: 0,
  SizeLf: 1,
  Extension: 2,
  Data: 3,
  DataCr: 4,
  DataLf: 5,
  Trailers: 6,
  Done: 7,
  Bad: 8,
} as const
type State = (typeof State)[keyof typeof State]

/** Reads one body. `done` once its last byte was read, `bad` once it can't be a body; both are final. */
export class BodyReader {
  readonly #framing: number
  readonly #maxTrailerBytes: number
  #state: State
  /** Bytes still to come of the body (length) or of the current chunk (chunked). */
  #left: number
  #sizeDigits = 0
  #extensionBytes = 0
  #trailers: Buffer[] = []
  #trailerBytes = 0

  /** `framing` is BODY_*; `length` counts for BODY_LENGTH only. */
  constructor(framing: number, length: number, maxTrailerBytes: number) {
    this.#framing = framing
    this.#maxTrailerBytes = maxTrailerBytes
    this.#left = framing === BODY_LENGTH ? length : 0
    if (framing === BODY_CHUNKED) this.#state = State.Size
    else if (framing === BODY_CLOSE || (framing === BODY_LENGTH && length > 0)) this.#state = State.Data
    else this.#state = State.Done
  }

  get done(): boolean {
    return this.#state === State.Done
  }

  get bad(): boolean {
    return this.#state === State.Bad
  }

  /** The trailer section with its final empty line, as received; `CRLF` alone where there are no trailers. */
  get trailers(): Buffer {
    return Buffer.concat(this.#trailers)
  }

  /** Appends to `slices` the body bytes in `input` from `start` on, without copying; gives the offset of the first byte that is not the body's. */
  read(input: Buffer, start: number, slices: Buffer[]): number {
    if (this.#framing === BODY_CHUNKED) return this.#readChunked(input, start, slices)
    if (this.#state !== State.Data) return start
    if (this.#framing === BODY_CLOSE) {
      if (input.length > start) slices.push(input.subarray(start))
      return input.length
    }
    return this.#take(input, start, slices, State.Done)
  }

  /** The sender closed the connection: the end of a close-delimited body, a broken one otherwise. */
  end(): void {
    if (this.#state === State.Done) return
    this.#state = this.#framing === BODY_CLOSE ? State.Done : State.Bad
  }

  #take(input: Buffer, start: number, slices: Buffer[], next: State): number {
    const end = Math.min(input.length, start + this.#left)
    if (end > start) slices.push(input.subarray(start, end))
    this.#left -= end - start
    if (this.#left === 0) this.#state = next
    return end
  }

  #readChunked(input: Buffer, start: number, slices: Buffer[]): number {
    let at = start
    while (at < input.length && this.#state !== State.Done && this.#state !== State.Bad) {
      if (this.#state === State.Data) at = this.#take(input, at, slices, State.DataCr)
      else if (this.#state === State.Trailers) at = this.#readTrailers(input, at)
      else this.#state = this.#framingByte(input[at++]!)
    }
    return at
  }

  #framingByte(byte: number): State {
    switch (this.#state) {
      case State.Size: {
        const digit = hexValue(byte)
        if (digit >= 0) {
          this.#left = this.#left * 16 + digit
          return ++this.#sizeDigits > MAX_SIZE_DIGITS ? State.Bad : State.Size
        }
        if (this.#sizeDigits === 0) return State.Bad
        if (byte === CR) return State.SizeLf
        this.#extensionBytes = 0
        return byte === 0x3b /* ; */ ? State.Extension : State.Bad
      }
      case State.Extension:
        if (byte === CR) return State.SizeLf
        if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) return State.Bad
        return ++this.#extensionBytes > MAX_EXTENSION_BYTES ? State.Bad : State.Extension
      case State.SizeLf:
        if (byte !== LF) return State.Bad
        this.#sizeDigits = 0
        return this.#left === 0 ? State.Trailers : State.Data
      case State.DataCr:
        return byte === CR ? State.DataLf : State.Bad
      case State.DataLf:
        return byte === LF ? State.Size : State.Bad
      default:
        return State.Bad
    }
  }

  /** Collects the trailer section up to its empty line; what is in it is judged by the sidecar. */
  #readTrailers(input: Buffer, start: number): number {
    const seen = Buffer.concat([...this.#trailers, input.subarray(start, start + this.#maxTrailerBytes + 2)])
    const empty = seen[0] === CR && seen[1] === LF
    const end = empty ? 2 : endOfSection(seen)
    if (end > this.#maxTrailerBytes || (end < 0 && seen.length > this.#maxTrailerBytes)) {
      this.#state = State.Bad
      return start
    }
    if (end < 0) {
      this.#trailerBytes = seen.length
      this.#trailers = [seen]
      return input.length
    }
    const consumed = end - this.#trailerBytes
    this.#trailers = [seen.subarray(0, end)]
    this.#state = State.Done
    return start + consumed
  }
}

function endOfSection(bytes: Buffer): number {
  const at = bytes.indexOf('\r\n\r\n', 0, 'latin1')
  return at < 0 ? -1 : at + 4
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
