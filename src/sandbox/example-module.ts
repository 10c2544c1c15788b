// Modules for tests: a smallest valid guest, section by section, each of which a test may replace.
import { WasmWriter } from './wasm-writer.ts'

/** Contents of sections, by name; null leaves one out. Code is function bodies without their size. */
export interface Sections {
  readonly type?: number[] | null
  readonly import?: number[] | null
  readonly function?: number[] | null
  readonly table?: number[] | null
  readonly memory?: number[] | null
  readonly tag?: number[] | null
  readonly global?: number[] | null
  readonly export?: number[] | null
  readonly start?: number[] | null
  readonly element?: number[] | null
  readonly dataCount?: number[] | null
  readonly code?: number[][] | null
  readonly data?: number[] | null
}

export const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

/** `env.memory`, one page, min = max. */
export const MEMORY_IMPORT = [1, ...name('env'), ...name('memory'), 2, 1, 1, 1]

/** One function `run(): i32` that returns 0. */
const SMALLEST: Sections = {
  type: [1, 0x60, 0, 1, 0x7f],
  import: MEMORY_IMPORT,
  function: [1, 0],
  export: [1, ...name('run'), 0, 0],
  code: [[0, 0x41, 0, 0x0b]],
}

const IDS = [
  ['type', 1],
  ['import', 2],
  ['function', 3],
  ['table', 4],
  ['memory', 5],
  ['tag', 13],
  ['global', 6],
  ['export', 7],
  ['start', 8],
  ['element', 9],
  ['dataCount', 12],
  ['code', 10],
  ['data', 11],
] as const

export function exampleModule(changes: Sections = {}): Uint8Array {
  const sections = { ...SMALLEST, ...changes }
  const writer = new WasmWriter().byte(...HEADER)
  for (const [key, id] of IDS) {
    const content = sections[key]
    if (content === undefined || content === null) continue
    const section = new WasmWriter()
    if (key === 'code') {
      const bodies = content as number[][]
      section.u32(bodies.length)
      for (const body of bodies) section.sized(new WasmWriter().byte(...body))
    } else {
      section.byte(...(content as number[]))
    }
    writer.section(id, section)
  }
  return writer.bytes()
}

/** The smallest guest with another body of `run`, which has no locals. */
export function exampleBody(...code: number[]): Uint8Array {
  return exampleModule({ code: [[0, ...code, 0x0b]] })
}

/** A name of fewer than 128 bytes, with its length. */
export function name(text: string): number[] {
  const bytes = Buffer.from(text)
  return [bytes.length, ...bytes]
}
