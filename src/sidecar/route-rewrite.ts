// What a route makes of the path and the authority before the request goes on.

import { readAuthority, readHostLen } from './authority.ts'
import { beginSearch, findFrom, matchEnd, matchStart, searchExhausted } from './automaton-program.ts'
import { SLASH } from './bytes.ts'
import {
  PIECE_GROUP,
  PIECE_LENGTH,
  PIECE_TEXT,
  PIECE_VALUE,
  REWRITE_AUTHORITY,
  REWRITE_AUTOMATON,
  REWRITE_FIRST_PIECE,
  REWRITE_PIECES,
  REWRITE_URI,
  WHOLE_PATH,
} from './layout/routes.ts'
import { SCRATCH_HOST, SCRATCH_ROUTES } from './layout/scratch.ts'
import {
  authorityPort,
  hostPtr,
  outByte,
  outBytes,
  outPosition,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
  setPath,
} from './message.ts'
import { rewriteHost } from './request-target.ts'

const QUESTION_MARK: u32 = 0x3f
const HOST_ROOM: i32 = 256

let hostIsSaved: bool = false
let original: i32 = 0
let originalSize: i32 = 0

/** Forgets what an earlier run of the phase rewrote, and brings the host back. */
export function forgetRewrite(): void {
  original = 0
  originalSize = 0
  if (hostIsSaved) memory.copy(SCRATCH_HOST, SCRATCH_ROUTES, HOST_ROOM)
  hostIsSaved = false
}

/** Path and query as they were before a route rewrote the path; length 0 where none did. */
export function rewrittenPathPtr(): i32 {
  return original
}

export function rewrittenPathLen(): i32 {
  return originalSize
}

/** Another authority goes on. The port that was called stays what it was: an authority's text moves no request. */
export function rewriteAuthority(ptr: i32, len: i32): void {
  if (!hostIsSaved) memory.copy(SCRATCH_ROUTES, hostPtr(), HOST_ROOM)
  hostIsSaved = true
  // It was checked when it was compiled.
  if (!readAuthority(ptr, len)) unreachable()
  rewriteHost(ptr, len, readHostLen(), authorityPort())
}

export const REWRITTEN: i32 = 0
/** What came out does not begin with "/". */
export const NO_PATH: i32 = 1
/** The path is too long for the expression. */
export const TOO_LONG: i32 = 2

/** Rewrites by the block, 0 is none; `replaced` bytes of the path give way to the new uri. */
export function rewriteRequest(rewrite: i32, replaced: i32): i32 {
  if (rewrite == 0) return REWRITTEN
  const authoritySize = load<i32>(rewrite + REWRITE_AUTHORITY + 4)
  if (authoritySize > 0) rewriteAuthority(rewrite + load<i32>(rewrite + REWRITE_AUTHORITY), authoritySize)
  const automaton = load<i32>(rewrite + REWRITE_AUTOMATON)
  const uriSize = load<i32>(rewrite + REWRITE_URI + 4)
  if (automaton == 0 && uriSize == 0) return REWRITTEN
  const before = pathPtr()
  const beforeSize = pathLen()
  // "*" stands for the whole server and is no path.
  if (load<u8>(before) != SLASH) return REWRITTEN
  let start: i32
  if (automaton != 0) {
    start = replaceAll(rewrite, rewrite + automaton)
    if (searchExhausted()) return TOO_LONG
  } else {
    start = outPosition()
    outBytes(rewrite + load<i32>(rewrite + REWRITE_URI), uriSize)
    const rest = replaced == WHOLE_PATH ? beforeSize : min(replaced, beforeSize)
    outBytes(before + rest, beforeSize - rest)
  }
  const size = outPosition() - start
  if (size == 0 || load<u8>(start) != SLASH) return NO_PATH
  setPath(start, size)
  original = outPosition()
  outBytes(before, beforeSize)
  if (queryPtr() != 0) {
    outByte(QUESTION_MARK)
    outBytes(queryPtr(), queryLen())
  }
  originalSize = outPosition() - original
  return REWRITTEN
}

/** RE2's GlobalReplace: all matches, none of which overlap, from left to right. Gives the address of what comes out. */
function replaceAll(rewrite: i32, automaton: i32): i32 {
  const text = pathPtr()
  const end = text + pathLen()
  if (!beginSearch(automaton, text, pathLen())) return outPosition()
  const start = outPosition()
  let p = text
  let last = -1
  while (p <= end && findFrom(automaton, p)) {
    const from = matchStart(0)
    const to = matchEnd(0)
    outBytes(p, from - p)
    if (from == last && to == from) {
      // An empty match just behind the one before is none: one character goes on as it is.
      p = from
      do {
        if (p < end) outByte(load<u8>(p))
        p++
      } while (p < end && (load<u8>(p) & 0xc0) == 0x80)
      continue
    }
    outPieces(rewrite)
    p = to
    last = to
  }
  if (p < end) outBytes(p, end - p)
  return start
}

function outPieces(rewrite: i32): void {
  let piece = rewrite + load<i32>(rewrite + REWRITE_FIRST_PIECE)
  for (let left = load<i32>(rewrite + REWRITE_PIECES); left > 0; left--) {
    const group = load<i32>(piece + PIECE_GROUP)
    if (group == PIECE_TEXT)
      outBytes(piece + load<i32>(piece + PIECE_VALUE), load<i32>(piece + PIECE_VALUE + 4))
    else {
      const from = matchStart(group)
      const to = matchEnd(group)
      if (from >= 0 && to >= from) outBytes(from, to - from)
    }
    piece += load<i32>(piece + PIECE_LENGTH)
  }
}
