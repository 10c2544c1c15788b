/** Writes little-endian bytes into a buffer that grows. */
export class ByteWriter {
  private buffer = Buffer.allocUnsafe(256)
  private end = 0

  get length(): number {
    return this.end
  }

  u8(value: number): this {
    this.room(1)
    this.end = this.buffer.writeUInt8(value, this.end)
    return this
  }

  u16(value: number): this {
    this.room(2)
    this.end = this.buffer.writeUInt16LE(value, this.end)
    return this
  }

  u32(value: number): this {
    this.room(4)
    this.end = this.buffer.writeUInt32LE(value, this.end)
    return this
  }

  bytes(value: Uint8Array): this {
    this.room(value.length)
    this.buffer.set(value, this.end)
    this.end += value.length
    return this
  }

  /** Zero bytes up to the next multiple of 4. */
  align(): this {
    while (this.end % 4 !== 0) this.u8(0)
    return this
  }

  /** Keeps a place for a u32 that `patch` fills in later. */
  reserve(): number {
    this.u32(0)
    return this.end - 4
  }

  patch(place: number, value: number): void {
    this.buffer.writeUInt32LE(value, place)
  }

  /**
   * A block that begins with its own length: pads it to a multiple of 4 when `write` has filled it.
   */
  block(write: (out: ByteWriter) => void): this {
    const start = this.reserve()
    write(this)
    this.align()
    this.patch(start, this.end - start)
    return this
  }

  finish(): Buffer {
    return Buffer.from(this.buffer.subarray(0, this.end))
  }

  private room(size: number): void {
    if (this.end + size <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.end + size))
    this.buffer.copy(larger, 0, 0, this.end)
    this.buffer = larger
  }
}
