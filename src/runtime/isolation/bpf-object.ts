// An eBPF program as an ELF object that `tc` loads: no compiler, no library. The machine is described in RFC 9669.

/** A register: R0 has results, R1 to R5 arguments, R6 to R9 survive calls, R10 is the frame's end. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10

type Size = 'u8' | 'u16' | 'u32'
type Jump = '==' | '!=' | '>' | '&'

/** Writes one program, instruction by instruction. Jumps lead forwards only, to labels that `label` sets. */
export class BpfProgram {
  readonly #code: Buffer[] = []
  readonly #labels = new Map<string, number>()
  readonly #jumps: { at: number; label: string }[] = []

  /** to = value */
  set(to: Register, value: number | { register: Register }): this {
    if (typeof value === 'number') return this.#put(0xb7, to, 0, 0, value)
    return this.#put(0xbf, to, value.register, 0, 0)
  }

  add(to: Register, value: number): this {
    return this.#put(0x07, to, 0, 0, value)
  }

  and(to: Register, value: number): this {
    return this.#put(0x57, to, 0, 0, value)
  }

  /** to = *(size *)(from + offset), in the machine's byte order. */
  load(size: Size, to: Register, from: Register, offset: number): this {
    return this.#put(0x61 | SIZES[size], to, from, offset, 0)
  }

  /** *(size *)(to + offset) = value */
  store(size: Size, to: Register, offset: number, value: number): this {
    return this.#put(0x62 | SIZES[size], to, 0, offset, value)
  }

  /** Reverses the low two or four bytes where the machine is little-endian: network byte order to numbers and back. */
  fromNetwork(size: 'u16' | 'u32', register: Register): this {
    return this.#put(0xdc, register, 0, 0, size === 'u16' ? 16 : 32)
  }

  /** Compares the low 32 bits without sign; `&`: any of the bits is set. */
  jump(register: Register, how: Jump, value: number, label: string): this {
    this.#jumps.push({ at: this.#code.length, label })
    return this.#put(JUMPS[how], register, 0, 0, value)
  }

  go(label: string): this {
    this.#jumps.push({ at: this.#code.length, label })
    return this.#put(0x05, 0, 0, 0, 0)
  }

  label(name: string): this {
    this.#labels.set(name, this.#code.length)
    return this
  }

  /** Calls a helper of the kernel, by its number in linux/bpf.h. */
  call(helper: number): this {
    return this.#put(0x85, 0, 0, 0, helper)
  }

  /** Ends with this result. */
  exit(result: number): this {
    return this.set(0, result).#put(0x95, 0, 0, 0, 0)
  }

  bytes(): Buffer {
    for (const { at, label } of this.#jumps) {
      const target = this.#labels.get(label)
      if (target === undefined) throw new Error(`a jump leads to ${label}, which is nowhere`)
      this.#code[at]!.writeInt16LE(target - at - 1, 2)
    }
    return Buffer.concat(this.#code)
  }

  #put(code: number, to: number, from: number, offset: number, value: number): this {
    const bytes = Buffer.alloc(8)
    bytes[0] = code
    bytes[1] = to | (from << 4)
    bytes.writeInt16LE(offset, 2)
    bytes.writeInt32LE(value | 0, 4)
    this.#code.push(bytes)
    return this
  }
}

/** An object file with the program in a section of that name, which is its name for `tc`, too. */
export function bpfObject(programs: Readonly<Record<string, Buffer>>): Buffer {
  const names = Object.keys(programs)
  const strings = stringTable(['.symtab', '.strtab', ...names])
  const symbols = Buffer.concat([
    Buffer.alloc(SYMBOL_BYTES),
    ...names.map((name, index) => symbol(strings.offset(name), index + 1, programs[name]!.length)),
  ])
  const sections = [
    ...names.map((name) => ({ name, type: 1, flags: 6, body: programs[name]!, link: 0, info: 0, entry: 0 })),
    {
      name: '.symtab',
      type: 2,
      flags: 0,
      body: symbols,
      link: names.length + 2,
      info: 1,
      entry: SYMBOL_BYTES,
    },
    { name: '.strtab', type: 3, flags: 0, body: strings.bytes, link: 0, info: 0, entry: 0 },
  ]
  const bodies: Buffer[] = []
  const headers = [Buffer.alloc(SECTION_BYTES)]
  let at = HEADER_BYTES
  for (const { name, type, flags, body, link, info, entry } of sections) {
    const header = Buffer.alloc(SECTION_BYTES)
    header.writeUInt32LE(strings.offset(name), 0)
    header.writeUInt32LE(type, 4)
    header.writeBigUInt64LE(BigInt(flags), 8)
    header.writeBigUInt64LE(BigInt(at), 24)
    header.writeBigUInt64LE(BigInt(body.length), 32)
    header.writeUInt32LE(link, 40)
    header.writeUInt32LE(info, 44)
    header.writeBigUInt64LE(8n, 48)
    header.writeBigUInt64LE(BigInt(entry), 56)
    headers.push(header)
    const padded = Buffer.concat([body, Buffer.alloc(-body.length & 7)])
    bodies.push(padded)
    at += padded.length
  }
  return Buffer.concat([fileHeader(at, headers.length), ...bodies, ...headers])
}

function fileHeader(sectionsAt: number, sections: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  // 64 bits, little-endian, version 1.
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  header.writeUInt16LE(1, 16) // relocatable
  header.writeUInt16LE(247, 18) // EM_BPF
  header.writeUInt32LE(1, 20)
  header.writeBigUInt64LE(BigInt(sectionsAt), 40)
  header.writeUInt16LE(HEADER_BYTES, 52)
  header.writeUInt16LE(SECTION_BYTES, 58)
  header.writeUInt16LE(sections, 60)
  header.writeUInt16LE(sections - 1, 62)
  return header
}

/** A global function. */
function symbol(name: number, section: number, size: number): Buffer {
  const bytes = Buffer.alloc(SYMBOL_BYTES)
  bytes.writeUInt32LE(name, 0)
  bytes[4] = 0x12
  bytes.writeUInt16LE(section, 6)
  bytes.writeBigUInt64LE(BigInt(size), 16)
  return bytes
}

function stringTable(names: readonly string[]) {
  const offsets = new Map<string, number>()
  let text = '\0'
  for (const name of names) {
    offsets.set(name, text.length)
    text += `${name}\0`
  }
  return { bytes: Buffer.from(text, 'latin1'), offset: (name: string) => offsets.get(name)! }
}

const HEADER_BYTES = 64
const SECTION_BYTES = 64
const SYMBOL_BYTES = 24
const SIZES = { u8: 0x10, u16: 0x08, u32: 0x00 }
const JUMPS = { '==': 0x16, '!=': 0x56, '>': 0x26, '&': 0x46 }
