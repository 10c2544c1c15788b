// The four forms of a request target (RFC 9112 3.2), and what is called: host, path and query.

import { readAuthority, readHostLen, readHostName, readIsAddress, readPortNumber } from './authority.ts'
import { COLON, DOT, isExactly, isText, SLASH } from './bytes.ts'
import { FIELD_HOST } from './layout/fields.ts'
import { DIRECTION_OUTBOUND, REASON_HOST, REASON_TARGET } from './layout/record.ts'
import { SCRATCH_AUTHORITY, SCRATCH_HOST, SCRATCH_TEXT } from './layout/scratch.ts'
import {
  authorityLen,
  authorityPtr,
  direction,
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  httpMinor,
  methodLen,
  methodPtr,
  nextField,
  pathLen,
  pathPtr,
  setAuthority,
  setPath,
  setQuery,
  targetLen,
  targetPtr,
} from './message.ts'
import { refuse } from './refusal.ts'

const QUESTION_MARK: u32 = 0x3f
/** Length of "http://". */
const SCHEME_LEN: i32 = 7

let rewritten: bool = false
let sealed: bool = false

/** Whether the Host to forward is another one than the client's. */
export function hostIsRewritten(): bool {
  return rewritten
}

/** Another authority goes on than the one received. */
export function rewriteHost(ptr: i32, len: i32, hostBytes: i32, port: i32): void {
  setAuthority(ptr, len, hostBytes, port)
  rewritten = true
}

/** Notes whether the Host was another one when the request was read. */
export function sealTarget(): void {
  sealed = rewritten
}

export function restoreTarget(): void {
  rewritten = sealed
}

/** Reads target and Host; false where they are refused. */
export function readTarget(): bool {
  rewritten = false
  setAuthority(0, 0, 0, 0)
  if (!readHost()) return false
  const start = targetPtr()
  const len = targetLen()
  if (load<u8>(start) == SLASH) splitPath(start, start + len)
  else if (len == 1 && load<u8>(start) == 0x2a) {
    if (!isExactly(methodPtr(), methodLen(), 'OPTIONS')) return fail(REASON_TARGET)
    setPath(start, 1)
    setQuery(0, 0)
  } else if (len > SCHEME_LEN && isText(start, SCHEME_LEN, 'http://')) {
    if (!readAbsolute(start + SCHEME_LEN, start + len)) return false
  } else return fail(REASON_TARGET)
  if (direction() == DIRECTION_OUTBOUND && (authorityLen() == 0 || readIsAddress())) takeCalleeFromPath()
  return true
}

// Exactly one Host on HTTP/1.1, at most one on HTTP/1.0 (RFC 9112 3.2).
function readHost(): bool {
  const field = findFieldById(FIELD_HOST)
  if (field < 0) return httpMinor() == 0 || fail(REASON_HOST)
  if (nextField(field) >= 0) return fail(REASON_HOST)
  return takeAuthority(fieldValuePtr(field), fieldValueLen(field))
}

function takeAuthority(ptr: i32, len: i32): bool {
  if (!readAuthority(ptr, len)) return fail(REASON_HOST)
  let hostEnd = ptr
  while (hostEnd < ptr + len && load<u8>(hostEnd) != COLON) hostEnd++
  if (load<u8>(ptr) != 0x5b && load<u8>(hostEnd - 1) == DOT) takeWithoutDot(ptr, hostEnd, ptr + len)
  else setAuthority(ptr, len, readHostLen(), readPortNumber())
  return true
}

// `a.shop.` names whom `a.shop` names, so a policy about the one is about the other too.
function takeWithoutDot(ptr: i32, hostEnd: i32, end: i32): void {
  const host = hostEnd - 1 - ptr
  memory.copy(SCRATCH_AUTHORITY, ptr, host)
  memory.copy(SCRATCH_AUTHORITY + host, hostEnd, end - hostEnd)
  setAuthority(SCRATCH_AUTHORITY, host + end - hostEnd, readHostLen(), readPortNumber())
  rewritten = true
}

// The target's authority counts, whatever Host says (RFC 9112 3.2.2).
function readAbsolute(start: i32, end: i32): bool {
  let p = start
  while (p < end && load<u8>(p) != SLASH && load<u8>(p) != QUESTION_MARK) p++
  if (!takeAuthority(start, p - start)) return false
  rewritten = true
  // OPTIONS of a whole server has no path in this form (RFC 9112 3.2.4).
  if (p == end && isExactly(methodPtr(), methodLen(), 'OPTIONS')) {
    setPath(literal(0x2a), 1)
    setQuery(0, 0)
  } else splitPath(p, end)
  return true
}

function splitPath(start: i32, end: i32): void {
  let p = start
  while (p < end && load<u8>(p) != QUESTION_MARK) p++
  if (p == start) setPath(literal(SLASH), 1)
  else setPath(start, p - start)
  if (p < end) setQuery(p + 1, end - p - 1)
  else setQuery(0, 0)
}

// A function that calls its plain base URL names the callee by the path's first segment: /callee.ns/rest. Where that is
// no name, nobody is called.
function takeCalleeFromPath(): void {
  setAuthority(authorityPtr(), authorityLen(), 0, 0)
  const start = pathPtr()
  const end = start + pathLen()
  if (load<u8>(start) != SLASH) return
  let p = start + 1
  while (p < end && load<u8>(p) != SLASH) p++
  if (!readHostName(start + 1, p - start - 1)) return
  setAuthority(SCRATCH_HOST, readHostLen(), readHostLen(), 0)
  rewritten = true
  if (p == end) setPath(literal(SLASH), 1)
  else setPath(p, end - p)
}

function literal(byte: u32): i32 {
  store<u8>(SCRATCH_TEXT, byte as u8)
  return SCRATCH_TEXT
}

function fail(reason: i32): bool {
  refuse(400, reason)
  return false
}
