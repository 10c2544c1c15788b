/** Builds a WebAssembly binary. Sizes that precede their content are written by nesting one writer in another. */
export class WasmWriter {
  #parts: Uint8Array[] = []
  #small: number[] = []

  byte(...bytes: number[]): this {
    for (const byte of bytes) this.#small.push(byte)
    return this
  }

  raw(bytes: Uint8Array): this {
    this.#flush()
    this.#parts.push(bytes)
    return this
  }

  u32(value: number): this {
    let rest = value
    while (rest >= 0x80) {
      this.#small.push((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    this.#small.push(rest)
    return this
  }

  s64(value: bigint): this {
    let rest = value
    for (;;) {
      const byte = Number(rest & 0x7fn)
      rest >>= 7n
      if ((rest === 0n && byte < 0x40) || (rest === -1n && byte >= 0x40)) {
        this.#small.push(byte)
        return this
      }
      this.#small.push(byte | 0x80)
    }
  }

  name(text: string): this {
    return this.sized(new WasmWriter().raw(Buffer.from(text)))
  }

  /** `content`, preceded by its length. */
  sized(content: WasmWriter): this {
    const bytes = content.bytes()
    return this.u32(bytes.length).raw(bytes)
  }

  section(id: number, content: WasmWriter): this {
    return this.byte(id).sized(content)
  }

  bytes(): Uint8Array {
    this.#flush()
    return Buffer.concat(this.#parts)
  }

  #flush(): void {
    if (this.#small.length === 0) return
    this.#parts.push(Uint8Array.from(this.#small))
    this.#small = []
  }
}
