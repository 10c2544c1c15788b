// Regular expressions as programs (layout/automaton.ts): all ways to match are followed side by side, byte by byte, and none
// is followed twice at one place, so that the time is bounded by the text's length times the program's (Pike's machine).

import { isDigit, UNDERSCORE } from './bytes.ts'
import {
  ASSERT_BEGIN_LINE,
  ASSERT_BEGIN_TEXT,
  ASSERT_END_LINE,
  ASSERT_END_TEXT,
  ASSERT_WORD_BOUNDARY,
  MOST_PLACES,
  PROGRAM_FIRST,
  PROGRAM_HEADER,
  PROGRAM_PLACES,
  PROGRAM_STEPS,
  STEP_ASSERT,
  STEP_BYTE,
  STEP_FORK,
  STEP_HIGH,
  STEP_KIND,
  STEP_LOW,
  STEP_MATCH,
  STEP_NEXT,
  STEP_NOTE,
  STEP_OTHER,
  STEP_SIZE,
} from './layout/automaton.ts'
import { IN_MEMORY } from './layout/record.ts'
import { inU32 } from './message.ts'
import { outPosition, outReserve, outRewind } from './writer.ts'

/** A way is u32 step, then the places it has noted (u32 each, NO_PLACE: none yet). */
const NO_PLACE: u32 = 0xffffffff

// The text that is being matched, and the machine's memory for it: behind the places that are being noted and those of
// the best match so far, two lists of ways, for each step the mark of the place at which it was followed last, a stack.
let text: i32 = 0
let textEnd: i32 = 0
let steps: i32 = 0
let places: i32 = 0
let waySize: i32 = 0
let noted: i32 = 0
let best: i32 = 0
let marks: i32 = 0
let stack: i32 = 0
let mark: u32 = 0
let lists: i32 = 0
/** The list that is being added to. */
let ways: i32 = 0
let wayCount: i32 = 0
/** Ways and steps that a search may still look at. */
let left: i32 = 0

/** Whether the program takes the text as a whole. */
export function stepsMatch(program: i32, ptr: i32, len: i32): bool {
  const before = outPosition()
  const found = begin(program, ptr, len) && run(program, ptr, true)
  outRewind(before)
  return found
}

/** Gets ready to search the text by a program that notes places. What is found may be asked for as long as the phase runs. */
export function beginSearch(program: i32, ptr: i32, len: i32): bool {
  if (!begin(program, ptr, len)) return false
  const fuel = inU32(IN_MEMORY) > SMALL_MEMORY ? LARGE_SEARCH : SMALL_SEARCH
  left = fuel / (WAY_COST + places * PLACE_COST)
  return true
}

/** Whether the text was too long for the searches in it: then what was found last does not count. */
export function searchExhausted(): bool {
  return left < 0
}

/** Fuel for all searches in one text in either memory, and about what each way takes of it for each byte. */
const SMALL_SEARCH: i32 = 2000000
const LARGE_SEARCH: i32 = 8000000
const SMALL_MEMORY: u32 = 65536
const WAY_COST: i32 = 80
const PLACE_COST: i32 = 30

/**
 * Finds the leftmost match that begins at the address `from` or later; of several there the one that is preferred. matchStart
 * and matchEnd tell the places of its groups.
 */
export function findFrom(program: i32, from: i32): bool {
  memory.fill(marks, 0, (load<u16>(program + PROGRAM_STEPS) as i32) << 2)
  mark = 1
  // Clearing the marks costs as well.
  left -= (load<u16>(program + PROGRAM_STEPS) as i32) >> 4
  return run(program, from, false)
}

/** Address at which the group begins in the match found last, -1 where it took no part; 0 is the whole match. */
export function matchStart(group: i32): i32 {
  return group * 2 < places ? load<i32>(best + (group << 3)) : -1
}

export function matchEnd(group: i32): i32 {
  return group * 2 < places ? load<i32>(best + (group << 3) + 4) : -1
}

function begin(program: i32, ptr: i32, len: i32): bool {
  const count: i32 = load<u16>(program + PROGRAM_STEPS)
  text = ptr
  textEnd = ptr + len
  steps = program + PROGRAM_HEADER
  places = min(load<u16>(program + PROGRAM_PLACES) as i32, MOST_PLACES)
  waySize = 4 + (places << 2)
  outReserve(-outPosition() & 7)
  best = outPosition()
  noted = best + (places << 2)
  // Each fork puts two entries on the stack, each noted place one that brings the old one back.
  const size = (places << 3) + 2 * count * waySize + count * 4 + (count + 1) * ENTRY
  if (!outReserve(size)) return false
  lists = noted + (places << 2)
  marks = lists + 2 * count * waySize
  stack = marks + count * 4
  memory.fill(marks, 0, count * 4)
  mark = 1
  return true
}

function run(program: i32, start: i32, whole: bool): bool {
  const count: i32 = load<u16>(program + PROGRAM_STEPS)
  const first: i32 = load<u16>(program + PROGRAM_FIRST)
  let current = lists
  let next = current + count * waySize
  let currentCount = 0
  let found = false
  let p = start
  while (true) {
    // Ways that came here through a byte are in the list already; a search may begin anew behind them.
    if (!found && (whole ? p == start : p == textEnd || !isInside(load<u8>(p)))) {
      for (let i = 0; i < places; i++) store<u32>(noted + (i << 2), NO_PLACE)
      ways = current
      wayCount = currentCount
      follow(first, p)
      currentCount = wayCount
    }
    if (currentCount == 0 && (found || whole)) return found
    if (!whole) {
      left -= currentCount + 1
      if (left < 0) return false
    }
    mark++
    ways = next
    wayCount = 0
    for (let i = 0; i < currentCount; i++) {
      const way = current + i * waySize
      const step = steps + load<i32>(way) * STEP_SIZE
      if ((load<u8>(step + STEP_KIND) as i32) == STEP_MATCH) {
        if (whole && p != textEnd) continue
        found = true
        memory.copy(best, way + 4, places << 2)
        // What comes behind is less preferred.
        break
      }
      if (p >= textEnd) continue
      const byte: u32 = load<u8>(p)
      if (byte < load<u8>(step + STEP_LOW) || byte > load<u8>(step + STEP_HIGH)) continue
      for (let place = 0; place < places; place++)
        store<u32>(noted + (place << 2), load<u32>(way + 4 + (place << 2)))
      follow(load<u16>(step + STEP_NEXT), p + 1)
    }
    if (p >= textEnd) return found
    const other = current
    current = next
    next = other
    currentCount = wayCount
    p++
  }
}

/** Whether the byte is not a character's first one in UTF-8: no match begins between the bytes of a character. */
function isInside(byte: u32): bool {
  return (byte & 0xc0) == 0x80
}

/** Adds all ways that go on from the step without a byte, in the order in which they are preferred. */
function follow(from: i32, at: i32): void {
  let top = stack
  push(top, from, -1)
  top += ENTRY
  while (top > stack) {
    top -= ENTRY
    const place = load<i32>(top + 4)
    if (place >= 0) {
      store<u32>(noted + (place << 2), load<u32>(top + 8))
      continue
    }
    let number = load<i32>(top)
    while (load<u32>(marks + (number << 2)) != mark) {
      store<u32>(marks + (number << 2), mark)
      left--
      const step = steps + number * STEP_SIZE
      const kind: i32 = load<u8>(step + STEP_KIND)
      const next: i32 = load<u16>(step + STEP_NEXT)
      const other: i32 = load<u16>(step + STEP_OTHER)
      if (kind == STEP_BYTE || kind == STEP_MATCH) {
        addWay(number)
        break
      }
      if (kind == STEP_FORK) {
        push(top, other, -1)
        top += ENTRY
      } else if (kind == STEP_NOTE) {
        if (other < places) {
          push(top, 0, other)
          store<u32>(top + 8, load<u32>(noted + (other << 2)))
          top += ENTRY
          store<i32>(noted + (other << 2), at)
        }
      } else if (kind != STEP_ASSERT || !holds(other, at)) break
      number = next
    }
  }
}

/** u32 step, i32 place to bring back or -1, u32 what it was. */
const ENTRY: i32 = 12

function push(at: i32, step: i32, place: i32): void {
  store<i32>(at, step)
  store<i32>(at + 4, place)
}

function addWay(step: i32): void {
  const way = ways + wayCount * waySize
  store<i32>(way, step)
  for (let i = 0; i < places; i++) store<u32>(way + 4 + (i << 2), load<u32>(noted + (i << 2)))
  wayCount++
}

function holds(assertion: i32, at: i32): bool {
  if (assertion == ASSERT_BEGIN_TEXT) return at == text
  if (assertion == ASSERT_END_TEXT) return at == textEnd
  if (assertion == ASSERT_BEGIN_LINE) return at == text || load<u8>(at - 1) == 0x0a
  if (assertion == ASSERT_END_LINE) return at == textEnd || load<u8>(at) == 0x0a
  const before = at > text && isOfWord(load<u8>(at - 1))
  const behind = at < textEnd && isOfWord(load<u8>(at))
  return (before != behind) == (assertion == ASSERT_WORD_BOUNDARY)
}

function isOfWord(byte: u32): bool {
  return (byte | 0x20) - 0x61 < 26 || isDigit(byte) || byte == UNDERSCORE
}
