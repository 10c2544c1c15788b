// A guest for automaton.test.ts: automata alone, without a request around them.

import { automatonMatches } from './automaton.ts'
import { beginSearch, findFrom, matchEnd, matchStart } from './automaton-program.ts'
import { outBegin } from './writer.ts'

export function matches(automaton: i32, ptr: i32, len: i32): bool {
  outBegin()
  return automatonMatches(automaton, ptr, len)
}

export function find(automaton: i32, ptr: i32, len: i32, from: i32): bool {
  outBegin()
  return beginSearch(automaton, ptr, len) && findFrom(automaton, ptr + from)
}

export function begin(automaton: i32, ptr: i32, len: i32): bool {
  outBegin()
  return beginSearch(automaton, ptr, len)
}

export { findFrom }

export function start(group: i32): i32 {
  return matchStart(group)
}

export function end(group: i32): i32 {
  return matchEnd(group)
}
