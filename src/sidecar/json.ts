// JSON (RFC 8259), read strictly and in place: strings are turned into their own UTF-8 where they lie, so the text is gone
// afterwards. What is found is a row of nodes, each in front of its children, which stay through all runs of the phase. Refused: what the grammar does not have,
// bytes that are not UTF-8, lone surrogates, a name twice in one object, and more than the bounds below.

import { equalBytes, hashBytes, isDigit, isExactly } from './bytes.ts'
import { readString, stringLen, stringPtr } from './json-string.ts'
import { outKeep } from './writer.ts'

/** Most values in one text (and commas and brackets in its strings), members in one object, and objects and arrays inside each other. */
const MOST_NODES: i32 = 1024
const MOST_MEMBERS: i32 = 256
const MOST_DEPTH: i32 = 32

export const JSON_NULL: i32 = 0
export const JSON_FALSE: i32 = 1
export const JSON_TRUE: i32 = 2
export const JSON_NUMBER: i32 = 3
export const JSON_STRING: i32 = 4
export const JSON_ARRAY: i32 = 5
export const JSON_OBJECT: i32 = 6

const NAME: usize = 0
const NAME_LEN: usize = 4
const NAME_HASH: usize = 8
const VALUE: usize = 12
const VALUE_LEN: usize = 16
const TYPE: usize = 20
const NEXT: usize = 24
const NODE_SIZE: i32 = 28

const QUOTE: u32 = 0x22
const COMMA: u32 = 0x2c
const MINUS: u32 = 0x2d
const COLON: u32 = 0x3a

let at: i32 = 0
let end: i32 = 0
let nodes: i32 = 0
let nodesEnd: i32 = 0

/** Reads a text that is one object; gives its node, or 0 where it is none. */
export function readJsonObject(ptr: i32, len: i32): i32 {
  at = ptr
  end = ptr + len
  const most = mostValues()
  if (most > MOST_NODES) return 0
  nodes = outKeep(most * NODE_SIZE)
  if (nodes == 0) return 0
  nodesEnd = nodes + most * NODE_SIZE
  const root = nodes
  skipBlanks()
  if (at >= end || load<u8>(at) != 0x7b || !readValue(0, 0, 0, 0)) return 0
  skipBlanks()
  return at == end ? root : 0
}

/** A bound on the number of values: each but the first one follows a comma or an opening bracket. */
function mostValues(): i32 {
  let values = 1
  for (let p = at; p < end; p++) {
    const byte: u32 = load<u8>(p)
    // "[" and "{" differ in this bit.
    if (byte == COMMA || (byte | 0x20) == 0x7b) values++
  }
  return values
}

/** JSON_*. */
export function jsonType(node: i32): i32 {
  return load<i32>(node, TYPE)
}

/** A string's own bytes, or a number's text. */
export function jsonPtr(node: i32): i32 {
  return load<i32>(node, VALUE)
}

/** Length of the bytes at jsonPtr; of an array or object the number of its elements. */
export function jsonLen(node: i32): i32 {
  return load<i32>(node, VALUE_LEN)
}

/** The first element of an array or object, if it has one. */
export function jsonFirst(node: i32): i32 {
  return node + NODE_SIZE
}

/** The element after this one, if there is one. */
export function jsonNext(node: i32): i32 {
  return load<i32>(node, NEXT)
}

/** The object's member of that name, 0 where there is none. */
export function jsonMember(object: i32, namePtr: i32, nameLen: i32): i32 {
  return findMember(object, load<i32>(object, VALUE_LEN), namePtr, nameLen, hashBytes(namePtr, nameLen))
}

/** The same by a literal's name. */
export function jsonNamed(object: i32, name: string): i32 {
  let member = object + NODE_SIZE
  for (let left = load<i32>(object, VALUE_LEN); left > 0; left--) {
    if (isExactly(load<i32>(member, NAME), load<i32>(member, NAME_LEN), name)) return member
    member = load<i32>(member, NEXT)
  }
  return 0
}

function findMember(object: i32, count: i32, namePtr: i32, nameLen: i32, hash: u32): i32 {
  let member = object + NODE_SIZE
  for (let left = count; left > 0; left--) {
    if (
      load<u32>(member, NAME_HASH) == hash &&
      equalBytes(load<i32>(member, NAME), load<i32>(member, NAME_LEN), namePtr, nameLen)
    ) {
      return member
    }
    member = load<i32>(member, NEXT)
  }
  return 0
}

function readValue(depth: i32, namePtr: i32, nameLen: i32, hash: u32): bool {
  const node = nodes
  if (node >= nodesEnd) return false
  nodes += NODE_SIZE
  store<i32>(node, namePtr, NAME)
  store<i32>(node, nameLen, NAME_LEN)
  store<u32>(node, hash, NAME_HASH)
  skipBlanks()
  if (at >= end || !readKind(node, load<u8>(at), depth)) return false
  store<i32>(node, nodes, NEXT)
  return true
}

function readKind(node: i32, byte: u32, depth: i32): bool {
  if (byte == QUOTE) return passString() && take(node, JSON_STRING, stringPtr(), stringLen())
  if (byte == 0x7b) return depth < MOST_DEPTH && readObject(node, depth)
  if (byte == 0x5b) return depth < MOST_DEPTH && readArray(node, depth)
  if (byte == MINUS || isDigit(byte)) return readNumber(node)
  // "true", "null" and "alse" as little-endian words.
  if (end - at < 4) return false
  const word = load<u32>(at)
  if (word == 0x65757274) return takeWord(node, JSON_TRUE, 4)
  if (word == 0x6c6c756e) return takeWord(node, JSON_NULL, 4)
  if (byte != 0x66 || end - at < 5 || load<u32>(at + 1) != 0x65736c61) return false
  return takeWord(node, JSON_FALSE, 5)
}

function take(node: i32, type: i32, ptr: i32, len: i32): bool {
  store<i32>(node, ptr, VALUE)
  store<i32>(node, len, VALUE_LEN)
  store<i32>(node, type, TYPE)
  return true
}

function takeWord(node: i32, type: i32, len: i32): bool {
  take(node, type, at, len)
  at += len
  return true
}

function readObject(node: i32, depth: i32): bool {
  at++
  skipBlanks()
  let count = 0
  if (at < end && load<u8>(at) == 0x7d) {
    at++
    return take(node, JSON_OBJECT, 0, 0)
  }
  while (true) {
    skipBlanks()
    if (at >= end || load<u8>(at) != QUOTE || !passString()) return false
    const name = stringPtr()
    const nameLen = stringLen()
    const hash = hashBytes(name, nameLen)
    if (findMember(node, count, name, nameLen, hash) != 0 || ++count > MOST_MEMBERS) return false
    skipBlanks()
    if (at >= end || load<u8>(at) != COLON) return false
    at++
    if (!readValue(depth + 1, name, nameLen, hash)) return false
    skipBlanks()
    if (at >= end) return false
    const byte: u32 = load<u8>(at++)
    if (byte == 0x7d) return take(node, JSON_OBJECT, 0, count)
    if (byte != COMMA) return false
  }
}

function readArray(node: i32, depth: i32): bool {
  at++
  skipBlanks()
  let count = 0
  if (at < end && load<u8>(at) == 0x5d) {
    at++
    return take(node, JSON_ARRAY, 0, 0)
  }
  while (true) {
    if (!readValue(depth + 1, 0, 0, 0)) return false
    count++
    skipBlanks()
    if (at >= end) return false
    const byte: u32 = load<u8>(at++)
    if (byte == 0x5d) return take(node, JSON_ARRAY, 0, count)
    if (byte != COMMA) return false
  }
}

/** Reads the string that begins at `at` and goes past it. */
function passString(): bool {
  at = readString(at + 1, end)
  return at != 0
}

function readNumber(node: i32): bool {
  const start = at
  if (load<u8>(at) == MINUS) at++
  if (at < end && load<u8>(at) == 0x30) at++
  else if (!skipDigits()) return false
  if (at < end && load<u8>(at) == 0x2e) {
    at++
    if (!skipDigits()) return false
  }
  if (at < end && (load<u8>(at) | 0x20) == 0x65) {
    at++
    if (at < end && (load<u8>(at) == MINUS || load<u8>(at) == 0x2b)) at++
    if (!skipDigits()) return false
  }
  return take(node, JSON_NUMBER, start, at - start)
}

/** Goes past one or more digits. */
function skipDigits(): bool {
  const start = at
  while (at < end && isDigit(load<u8>(at))) at++
  return at > start
}

function skipBlanks(): void {
  while (at < end) {
    const byte: u32 = load<u8>(at)
    if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) return
    at++
  }
}
