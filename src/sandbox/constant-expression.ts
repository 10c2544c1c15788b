import { END } from './instruction.ts'
import type { Span } from './module-shape.ts'
import { type Findings, Refused } from './refusal.ts'
import { readReferenceType } from './value-type.ts'
import type { WasmReader } from './wasm-reader.ts'

/** An initialiser or a segment's offset; its span leaves out the `end`. */
export interface ConstantExpression extends Span {
  /** `other` unless it is one numeric constant and nothing else. */
  readonly kind: 'i32' | 'i64' | 'v128' | 'float' | 'other'
  /** The i32 constant as an unsigned address, if it is one. */
  readonly address: number
}

/** Reads a constant expression, extended constants included; whether its type fits is for validation to say. */
export function readConstantExpression(
  reader: WasmReader,
  findings: Findings,
  what: string,
): ConstantExpression {
  const start = reader.at
  let kind: ConstantExpression['kind'] = 'other'
  let address = 0
  for (let count = 0; ; count++) {
    const at = reader.at
    const opcode = reader.byte(what)
    if (opcode === END) return { start, end: at, kind: count === 1 ? kind : 'other', address }
    switch (opcode) {
      case 0x41:
        kind = 'i32'
        address = reader.s32(what) >>> 0
        break
      case 0x42:
        kind = 'i64'
        reader.s64(what)
        break
      case 0x43:
        kind = 'float'
        reader.skip(4, what)
        break
      case 0x44:
        kind = 'float'
        reader.skip(8, what)
        break
      case 0xfd:
        if (reader.u32(what) !== 12) throw notConstant(at, what)
        kind = 'v128'
        reader.skip(16, what)
        break
      case 0x23: // global.get
      case 0xd2: // ref.func
        kind = 'other'
        reader.u32(what)
        break
      case 0xd0: // ref.null
        kind = 'other'
        readReferenceType(reader, findings, what)
        break
      case 0x6a: // add, sub and mul of i32 and of i64
      case 0x6b:
      case 0x6c:
      case 0x7c:
      case 0x7d:
      case 0x7e:
        kind = 'other'
        break
      default:
        throw notConstant(at, what)
    }
  }
}

function notConstant(offset: number, what: string): Refused {
  return new Refused('instruction', offset, `the ${what} is not constant: expected one numeric constant`)
}
