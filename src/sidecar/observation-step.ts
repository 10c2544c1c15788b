// One step of an observation's program (layout/observation.ts).

import { automatonMatches } from './automaton.ts'
import { equalBytes } from './bytes.ts'
import {
  MAX_JOINED,
  MAX_SEARCHED,
  MAX_WRITTEN,
  STEP_A,
  STEP_AND,
  STEP_ATTRIBUTE,
  STEP_B,
  STEP_C,
  STEP_CHOICE,
  STEP_CODE,
  STEP_CONTAINS,
  STEP_ENDS,
  STEP_EQUAL,
  STEP_FIELD,
  STEP_HAS,
  STEP_INTEGER,
  STEP_JOIN,
  STEP_KEEP,
  STEP_KEPT,
  STEP_LESS,
  STEP_MATCHES,
  STEP_NOT,
  STEP_OR,
  STEP_STARTS,
  STEP_TEXT,
  STEP_TO_TEXT,
  STEP_TRUTH,
  VALUE_ERROR,
  VALUE_INTEGER,
  VALUE_TEXT,
  VALUE_TRUTH,
} from './layout/observation.ts'
import { outByte, outBytes, outDecimal, outPosition, outText } from './message.ts'
import { pushAttribute, pushRequestField, pushResponseField } from './observed-attribute.ts'
import {
  copyValue,
  ENTRY,
  integerOf,
  isFalse,
  isTrue,
  pop,
  pushError,
  pushInteger,
  pushText,
  pushTruth,
  pushValue,
  textLen,
  textPtr,
  typeOf,
} from './observed-value.ts'

let begun: i32 = 0
let searched: i32 = 0

/** Begins a phase's steps: what they write begins here. */
export function beginSteps(): void {
  begun = outPosition()
  searched = 0
}

function maySpend(): bool {
  return outPosition() - begun <= MAX_WRITTEN
}

/** Runs a step; what it keeps goes to `values`, `kept` are those that the request phase kept. */
export function runStep(
  section: i32,
  step: i32,
  inRequest: bool,
  values: i32,
  kept: i32,
  keptCount: i32,
): void {
  const a = load<i32>(step + STEP_A)
  const b = load<i32>(step + STEP_B)
  const c = load<i32>(step + STEP_C)
  switch (load<i32>(step + STEP_CODE)) {
    case STEP_TRUTH:
      return pushTruth(a != 0)
    case STEP_INTEGER:
      return pushInteger(load<i64>(step + STEP_A))
    case STEP_TEXT:
      return pushText(section + a, b)
    case STEP_KEPT:
      if (a < keptCount) pushValue(kept + a * ENTRY)
      else pushError()
      return
    case STEP_ATTRIBUTE:
      return maySpend() ? pushAttribute(a, section, b, c) : pushError()
    case STEP_FIELD:
      if (!maySpend()) pushError()
      else if (inRequest) pushRequestField(section + a, b, c as u32)
      else pushResponseField(section + a, b, c as u32)
      return
    case STEP_HAS:
      return pushTruth(typeOf(pop()) != VALUE_ERROR)
    case STEP_NOT:
      return negate(pop())
    case STEP_MATCHES:
      return matches(pop(), section + a)
    case STEP_TO_TEXT:
      return toText(pop())
    case STEP_CHOICE:
      return choose()
    case STEP_KEEP:
      return copyValue(values + a * ENTRY, pop())
    default: {
      const right = pop()
      combine(load<i32>(step + STEP_CODE), pop(), right, section + c)
    }
  }
}

function negate(value: i32): void {
  if (typeOf(value) == VALUE_TRUTH) pushTruth(!isTrue(value))
  else pushError()
}

function matches(value: i32, automaton: i32): void {
  if (typeOf(value) != VALUE_TEXT) return pushError()
  searched += textLen(value)
  if (searched > MAX_SEARCHED) return pushError()
  pushTruth(automatonMatches(automaton, textPtr(value), textLen(value)))
}

function toText(value: i32): void {
  const type = typeOf(value)
  if (type == VALUE_ERROR || !maySpend()) return pushError()
  const start = outPosition()
  if (type == VALUE_TRUTH) outText(isTrue(value) ? 'true' : 'false')
  else {
    const number = integerOf(value)
    if (number < 0) outByte(0x2d)
    outDecimal((number < 0 ? -number : number) as u64)
  }
  pushText(start, outPosition() - start)
}

function choose(): void {
  const otherwise = pop()
  const then = pop()
  const condition = pop()
  if (typeOf(condition) != VALUE_TRUTH) pushError()
  else pushValue(isTrue(condition) ? then : otherwise)
}

// CEL's logic absorbs an error where the other side decides.
function combine(code: i32, left: i32, right: i32, table: i32): void {
  if (code == STEP_AND) {
    if (isFalse(left) || isFalse(right)) pushTruth(false)
    else if (isTrue(left) && isTrue(right)) pushTruth(true)
    else pushError()
    return
  }
  if (code == STEP_OR) {
    if (isTrue(left) || isTrue(right)) pushTruth(true)
    else if (isFalse(left) && isFalse(right)) pushTruth(false)
    else pushError()
    return
  }
  if (typeOf(left) == VALUE_ERROR || typeOf(right) == VALUE_ERROR) return pushError()
  switch (code) {
    case STEP_EQUAL:
      return pushTruth(equal(left, right))
    case STEP_LESS:
      return pushTruth(less(left, right))
    case STEP_STARTS:
      return pushTruth(
        textLen(left) >= textLen(right) &&
          equalBytes(textPtr(left), textLen(right), textPtr(right), textLen(right)),
      )
    case STEP_ENDS:
      return pushTruth(
        textLen(left) >= textLen(right) &&
          equalBytes(
            textPtr(left) + textLen(left) - textLen(right),
            textLen(right),
            textPtr(right),
            textLen(right),
          ),
      )
    case STEP_CONTAINS:
      searched += textLen(left)
      if (searched > MAX_SEARCHED) return pushError()
      return pushTruth(contains(textPtr(left), textLen(left), textPtr(right), textLen(right), table))
    case STEP_JOIN:
      return join(left, right)
    default:
      unreachable()
  }
}

function equal(left: i32, right: i32): bool {
  if (typeOf(left) != typeOf(right)) return false
  if (typeOf(left) != VALUE_TEXT) return integerOf(left) == integerOf(right)
  return equalBytes(textPtr(left), textLen(left), textPtr(right), textLen(right))
}

/** Texts by their bytes, which for UTF-8 is by code points; false before true. */
function less(left: i32, right: i32): bool {
  if (typeOf(left) != VALUE_TEXT) return typeOf(left) <= VALUE_INTEGER && integerOf(left) < integerOf(right)
  const size = min(textLen(left), textLen(right))
  for (let i = 0; i < size; i++) {
    const a: u32 = load<u8>(textPtr(left) + i)
    const b: u32 = load<u8>(textPtr(right) + i)
    if (a != b) return a < b
  }
  return textLen(left) < textLen(right)
}

/** Knuth, Morris and Pratt's search: linear whatever the texts are. */
function contains(text: i32, len: i32, sought: i32, soughtLen: i32, table: i32): bool {
  let found = 0
  for (let i = 0; i < len && found < soughtLen; i++) {
    const byte: u32 = load<u8>(text + i)
    while (found > 0 && load<u8>(sought + found) != byte) found = load<u16>(table + ((found - 1) << 1))
    if (load<u8>(sought + found) == byte) found++
  }
  return found == soughtLen
}

function join(left: i32, right: i32): void {
  if (textLen(left) + textLen(right) > MAX_JOINED || !maySpend()) return pushError()
  const start = outPosition()
  outBytes(textPtr(left), textLen(left))
  outBytes(textPtr(right), textLen(right))
  pushText(start, outPosition() - start)
}
