// Values on the stack of an observation's program (layout/observation.ts): u32 VALUE_*, u32 length of a text, then i64: a
// number, 0 or 1, or a text's address.

import { MAX_STACK, VALUE_ERROR, VALUE_INTEGER, VALUE_TEXT, VALUE_TRUTH } from './layout/observation.ts'
import { outReserve } from './writer.ts'

export const ENTRY: i32 = 16
const LENGTH: usize = 4
const PAYLOAD: usize = 8

let stack: i32 = 0
let top: i32 = 0

/** Takes room for a stack from the output; false where there is none. */
export function beginStack(position: i32): bool {
  stack = position
  top = position
  return outReserve(MAX_STACK * ENTRY)
}

export function pushError(): void {
  push(VALUE_ERROR, 0, 0)
}

export function pushTruth(value: bool): void {
  push(VALUE_TRUTH, 0, value ? 1 : 0)
}

export function pushInteger(value: i64): void {
  push(VALUE_INTEGER, 0, value)
}

export function pushText(ptr: i32, len: i32): void {
  push(VALUE_TEXT, len, ptr)
}

/** Puts a value on the stack that lies elsewhere. */
export function pushValue(at: i32): void {
  push(load<i32>(at), load<i32>(at, LENGTH), load<i64>(at, PAYLOAD))
}

/** Takes the value on top off the stack; it stays where it is until the next one is put there. */
export function pop(): i32 {
  if (top <= stack) unreachable()
  top -= ENTRY
  return top
}

export function copyValue(to: i32, from: i32): void {
  store<i64>(to, load<i64>(from))
  store<i64>(to, load<i64>(from, PAYLOAD), PAYLOAD)
}

export function typeOf(value: i32): i32 {
  return load<i32>(value)
}

export function isTrue(value: i32): bool {
  return typeOf(value) == VALUE_TRUTH && load<i64>(value, PAYLOAD) != 0
}

export function isFalse(value: i32): bool {
  return typeOf(value) == VALUE_TRUTH && load<i64>(value, PAYLOAD) == 0
}

export function integerOf(value: i32): i64 {
  return load<i64>(value, PAYLOAD)
}

export function textPtr(value: i32): i32 {
  return load<i32>(value, PAYLOAD)
}

export function textLen(value: i32): i32 {
  return load<i32>(value, LENGTH)
}

function push(type: i32, len: i32, payload: i64): void {
  if (top >= stack + MAX_STACK * ENTRY) unreachable()
  store<i32>(top, type)
  store<i32>(top, len, LENGTH)
  store<i64>(top, payload, PAYLOAD)
  top += ENTRY
}
