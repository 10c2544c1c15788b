// What the policy decides. Texts are put together behind the input: `begin`, `write...`, `end`.

import { area, Bytes } from './bytes'
import {
  INPUT_END,
  INPUT_MEMORY,
  KEY_SIZE,
  MAX_OPERATIONS,
  MAX_UPDATES,
  ON_RESPONSE,
  OPERATION_ADD,
  OPERATION_NAME_PTR,
  OPERATION_REMOVE,
  OPERATION_SET,
  OPERATION_SIZE,
  OPERATION_VALUE_PTR,
  OUTPUT_CARRY_PTR,
  OUTPUT_KEYS_PTR,
  OUTPUT_OPERATIONS_PTR,
  OUTPUT_RECORD,
  OUTPUT_STATUS,
  OUTPUT_TEXT_PTR,
  OUTPUT_UPDATES_PTR,
  RETURN_ALLOW,
  RETURN_DENY,
  RETURN_KEYS,
  UPDATE_SIZE,
} from './layout'

const MOST_KEYS: i32 = 8

let free: i32 = 0
let started: i32 = 0

/** Lets the request or response pass; returned by `request` and `response`. */
export function allow(): i32 {
  return RETURN_ALLOW
}

/** Answers with a status from 400 to 599 and a text of ASCII; returned by `request` and `response`. */
export function deny(status: i32, text: string): i32 {
  begin()
  writeText(text)
  return denyWith(status, end())
}

export function denyWith(status: i32, text: Bytes): i32 {
  const record = area() + OUTPUT_RECORD
  store<i32>(record + OUTPUT_STATUS, status)
  refer(record + OUTPUT_TEXT_PTR, text)
  return RETURN_DENY
}

/** All keys are set; returned by `keys`. */
export function keysAreSet(): i32 {
  return RETURN_KEYS
}

/** Sets a header field of the request that goes on; only names that the manifest lets the policy write. */
export function setHeader(name: string, value: Bytes): void {
  operate(OPERATION_SET, name, value)
}

export function addHeader(name: string, value: Bytes): void {
  operate(OPERATION_ADD, name, value)
}

export function removeHeader(name: string): void {
  remove(OPERATION_REMOVE, name)
}

/** The same for the response: the upstream's, or the denial. */
export function setResponseHeader(name: string, value: Bytes): void {
  operate(OPERATION_SET | ON_RESPONSE, name, value)
}

export function addResponseHeader(name: string, value: Bytes): void {
  operate(OPERATION_ADD | ON_RESPONSE, name, value)
}

export function removeResponseHeader(name: string): void {
  remove(OPERATION_REMOVE | ON_RESPONSE, name)
}

/** Gives bytes to the response phase of the same request. */
export function carry(bytes: Bytes): void {
  refer(area() + OUTPUT_RECORD + OUTPUT_CARRY_PTR, bytes)
}

/** Starts a text; end it before anything else is written. */
export function begin(): void {
  reserve(0)
  started = free
}

export function writeByte(byte: u8): void {
  store<u8>(reserve(1), byte)
}

export function writeText(literal: string): void {
  const at = reserve(literal.length)
  const text = changetype<i32>(literal)
  for (let i = 0; i < literal.length; i++) store<u8>(at + i, load<u16>(text + (i << 1)) as u8)
}

export function writeBytes(bytes: Bytes): void {
  const at = reserve(bytes.length)
  memory.copy(at, bytes.ptr, bytes.length)
}

export function writeNumber(value: i64): void {
  let rest: u64 = value as u64
  if (value < 0) {
    writeByte(0x2d)
    rest = 0 - rest
  }
  let digits = 1
  for (let more = rest / 10; more != 0; more /= 10) digits++
  const at = reserve(digits)
  for (let i = digits - 1; i >= 0; i--) {
    store<u8>(at + i, (0x30 + (rest % 10)) as u8)
    rest /= 10
  }
}

/** Ends the text. */
export function end(): Bytes {
  const stop = free
  const pair = record(8)
  store<i32>(pair, started)
  store<i32>(pair, stop - started, 4)
  return changetype<Bytes>(pair)
}

/** A literal as bytes. */
export function literal(text: string): Bytes {
  begin()
  writeText(text)
  return end()
}

/** The next entry of one of the output's lists. */
export function nextUpdate(): i32 {
  return next(OUTPUT_UPDATES_PTR, UPDATE_SIZE, MAX_UPDATES)
}

export function nextKey(): i32 {
  return next(OUTPUT_KEYS_PTR, KEY_SIZE, MOST_KEYS)
}

/** Notes bytes as an address and a length. */
export function refer(at: i32, bytes: Bytes): void {
  store<i32>(at, bytes.ptr)
  store<i32>(at, bytes.length, 4)
}

function operate(kind: i32, name: string, value: Bytes): void {
  refer(remove(kind, name) + OPERATION_VALUE_PTR, value)
}

function remove(kind: i32, name: string): i32 {
  const bytes = literal(name)
  const entry = next(OUTPUT_OPERATIONS_PTR, OPERATION_SIZE, MAX_OPERATIONS)
  store<i32>(entry, kind)
  refer(entry + OPERATION_NAME_PTR, bytes)
  return entry
}

function next(place: i32, size: i32, most: i32): i32 {
  const list = area() + OUTPUT_RECORD + place
  const count = load<i32>(list, 4)
  if (count == most) unreachable()
  if (count == 0) store<i32>(list, record(size * most))
  store<i32>(list, count + 1, 4)
  return load<i32>(list) + count * size
}

/** Room for a record, at a multiple of 8. */
function record(length: i32): i32 {
  reserve(0)
  free = (free + 7) & ~7
  return reserve(length)
}

/** The next bytes behind the input; a policy that writes more than fits has failed. */
function reserve(length: i32): i32 {
  const input = load<i32>(area() + INPUT_END)
  // `keys` may have written; what came in for `request` since lies behind that.
  if (free < input) free = input
  if (length < 0 || length > load<i32>(area() + INPUT_MEMORY) - free) unreachable()
  free += length
  return free - length
}
