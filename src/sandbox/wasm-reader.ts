import { Refused } from './refusal.ts'

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * A cursor over a WebAssembly binary (core specification 5.2). It reads integers exactly as strictly as the
 * specification: at most ceil(N/7) bytes and no bits beyond the type's width, so that no byte sequence has two readings.
 */
export class WasmReader {
  readonly bytes: Uint8Array
  /** Offset of the next byte, in the whole module. */
  at: number
  readonly end: number

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  get done(): boolean {
    return this.at >= this.end
  }

  byte(what: string): number {
    if (this.at >= this.end) {
      throw new Refused('malformed', this.at, `the ${what} is cut off: expected a byte, found the end`)
    }
    return this.bytes[this.at++]!
  }

  skip(count: number, what: string): void {
    if (count > this.end - this.at) {
      throw new Refused(
        'malformed',
        this.at,
        `the ${what} is cut off: expected ${count} bytes, found ${this.end - this.at}`,
      )
    }
    this.at += count
  }

  /** LEB128 u32. */
  u32(what: string): number {
    const start = this.at
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte(what)
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    const last = this.byte(what)
    if (last > 0x0f) throw new Refused('malformed', start, `the ${what} is not a LEB128 integer of 32 bits`)
    return (value | (last << 28)) >>> 0
  }

  /** LEB128 s32. */
  s32(what: string): number {
    return Number(this.#signed(32, what))
  }

  /** LEB128 s33, of which a block type is one. */
  s33(what: string): number {
    return Number(this.#signed(33, what))
  }

  /** LEB128 s64. */
  s64(what: string): bigint {
    return this.#signed(64, what)
  }

  name(limit: number, what: string): string {
    const length = this.count(limit, `length of the ${what}`)
    const start = this.at
    this.skip(length, what)
    try {
      return UTF8.decode(this.bytes.subarray(start, this.at))
    } catch {
      throw new Refused('malformed', start, `the ${what} is not UTF-8`)
    }
  }

  /** A u32 that counts things, bounded. */
  count(limit: number, what: string): number {
    const start = this.at
    const count = this.u32(what)
    if (count > limit) throw new Refused('limit', start, `the ${what} is ${count}: at most ${limit} allowed`)
    return count
  }

  /** A reader of the next `length` bytes; this one goes on after them. */
  part(length: number, what: string): WasmReader {
    const start = this.at
    this.skip(length, what)
    return new WasmReader(this.bytes, start, this.at)
  }

  expectDone(what: string): void {
    if (!this.done) {
      throw new Refused(
        'malformed',
        this.at,
        `the ${what} should end here, but ${this.end - this.at} bytes remain`,
      )
    }
  }

  #signed(bits: number, what: string): bigint {
    const start = this.at
    let value = 0n
    let shift = 0
    for (;;) {
      const byte = this.byte(what)
      value |= BigInt(byte & 0x7f) << BigInt(shift)
      shift += 7
      if (byte < 0x80) {
        value = BigInt.asIntN(shift, value)
        // The last byte's bits beyond the type's width must repeat the sign.
        if (shift > bits && BigInt.asIntN(bits, value) !== value) break
        return value
      }
      if (shift >= bits) break
    }
    throw new Refused('malformed', start, `the ${what} is not a LEB128 integer of ${bits} bits`)
  }
}
