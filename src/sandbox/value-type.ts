import { type Findings, noteUnproved, Refused } from './refusal.ts'
import type { WasmReader } from './wasm-reader.ts'

export const I32 = 0x7f
const I64 = 0x7e
const F32 = 0x7d
const F64 = 0x7c
const V128 = 0x7b
const FUNCREF = 0x70
const EXTERNREF = 0x6f

/** Reads a value type. Floats and references are noted; types of later proposals are refused. */
export function readValueType(reader: WasmReader, findings: Findings, what: string): number {
  const start = reader.at
  const type = reader.byte(what)
  checkValueType(type, start, findings, what)
  return type
}

export function checkValueType(type: number, offset: number, findings: Findings, what: string): void {
  switch (type) {
    case I32:
    case I64:
    case V128:
      return
    case F32:
    case F64:
      noteUnproved(
        findings,
        'float',
        offset,
        `the ${what} is ${type === F32 ? 'f32' : 'f64'}: expected i32, i64 or v128, since the bits of a NaN are not deterministic; compute with integers`,
      )
      return
    case FUNCREF:
    case EXTERNREF:
      noteUnproved(findings, 'reference', offset, `the ${what} is a reference: expected i32, i64 or v128`)
      return
    default:
      throw new Refused(
        'type',
        offset,
        `the ${what} has type 0x${type.toString(16)}: expected i32, i64 or v128`,
      )
  }
}

/** Reads the type of a table's or segment's elements: funcref, or externref, which is noted. */
export function readReferenceType(reader: WasmReader, findings: Findings, what: string): void {
  const start = reader.at
  const type = reader.byte(what)
  if (type === FUNCREF) return
  if (type !== EXTERNREF) {
    throw new Refused('type', start, `the ${what} has type 0x${type.toString(16)}: expected funcref`)
  }
  noteUnproved(findings, 'reference', start, `the ${what} is externref: expected funcref`)
}
