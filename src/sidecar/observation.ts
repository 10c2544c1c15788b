// What the sidecar finds out about an exchange for log filters, metrics and spans: it runs the programs of the OBSERVATION
// section (layout/observation.ts), the first in the request phase, the second in the response phase.

import { forgetForwarded } from './field-as-forwarded.ts'
import {
  MAX_VALUE_TEXT,
  MODE_FILTER,
  MODE_REQUEST,
  MODE_RESPONSE,
  OBSERVATION_CLIENT,
  OBSERVATION_HEADER,
  OBSERVATION_ID,
  OBSERVATION_SERVER,
  PROGRAM_FIRST,
  PROGRAM_STEPS,
  PROGRAM_VALUES,
  STEP_SIZE,
  VALUE_ERROR,
  VALUE_INTEGER,
  VALUE_TEXT,
  VALUE_TRUTH,
} from './layout/observation.ts'
import { DIRECTION_OUTBOUND, OUT_VALUES_LEN, OUT_VALUES_PTR } from './layout/record.ts'
import { direction, outByte, outBytes, outPosition, outReserve, outU32 } from './message.ts'
import { beginSteps, runStep } from './observation-step.ts'
import { beginStack, ENTRY, integerOf, isTrue, textLen, textPtr, typeOf } from './observed-value.ts'

/** Values that this phase found out, and those that the request phase did. */
let values: i32 = 0
let count: i32 = 0
let kept: i32 = 0
let keptCount: i32 = 0
/** The id of the section by which `values` were found out. */
let id: u32 = 0

/** In the context: u16 length, then u32 id and the values where there are any. */
let noted: i32 = 0
let notedSize: i32 = 0

/** Runs the request phase's program, before the context is written. */
export function observeRequest(section: i32, len: i32): void {
  count = 0
  id = 0
  if (len < OBSERVATION_HEADER) return
  const program = load<i32>(mode(section) + MODE_REQUEST)
  if (program == 0) return
  forgetForwarded()
  keptCount = 0
  id = load<u32>(section + OBSERVATION_ID)
  run(section, section + program, true)
}

/** Appends what the request phase found out to the context that is being written. */
export function outObserved(): void {
  const lengthAt = outPosition()
  if (!outReserve(2)) return
  const start = outPosition()
  if (id != 0 && outReserve(4)) {
    store<u32>(start, id)
    outValues()
  }
  // MAX_VALUES texts of MAX_VALUE_TEXT bytes stay below 64 KiB.
  const size = outPosition() - start
  store<u16>(lengthAt, size as u16)
}

/** Takes it from the context; gives the address after it, or 0 where it is cut off. */
export function takeObserved(start: i32, end: i32): i32 {
  notedSize = 0
  if (end - start < 2) return 0
  const size: i32 = load<u16>(start)
  if (end - start - 2 < size) return 0
  noted = start + 2
  notedSize = size
  return noted + size
}

/** Runs the response phase's program and gives its values out; whether the access log's filter lets the line through, as far as is known. */
export function observeResponse(section: i32, len: i32): bool {
  if (len < OBSERVATION_HEADER) return true
  const at = mode(section)
  const program = load<i32>(at + MODE_RESPONSE)
  if (program == 0) return true
  readKept(load<u32>(section + OBSERVATION_ID))
  run(section, section + program, false)
  const start = outPosition()
  outValues()
  outU32(OUT_VALUES_PTR, start)
  outU32(OUT_VALUES_LEN, outPosition() - start)
  const filter = load<i32>(at + MODE_FILTER)
  return filter == 0 || (filter <= count && isTrue(values + (filter - 1) * ENTRY))
}

function mode(section: i32): i32 {
  return section + (direction() == DIRECTION_OUTBOUND ? OBSERVATION_CLIENT : OBSERVATION_SERVER)
}

function run(section: i32, program: i32, inRequest: bool): void {
  outReserve(-outPosition() & 7)
  values = outPosition()
  count = load<i32>(program + PROGRAM_VALUES)
  if (!outReserve(count * ENTRY) || !beginStack(outPosition())) {
    count = 0
    return
  }
  memory.fill(values, 0, count * ENTRY)
  beginSteps()
  let step = program + PROGRAM_FIRST
  const end = step + load<i32>(program + PROGRAM_STEPS) * STEP_SIZE
  for (; step < end; step += STEP_SIZE) runStep(section, step, inRequest, values, kept, keptCount)
}

function outValues(): void {
  for (let i = 0; i < count; i++) outOne(values + i * ENTRY)
}

function outOne(value: i32): void {
  const type = typeOf(value)
  outByte(type)
  if (type == VALUE_TRUTH) outByte(isTrue(value) ? 1 : 0)
  else if (type == VALUE_INTEGER) {
    const at = outPosition()
    if (outReserve(8)) store<i64>(at, integerOf(value))
  } else if (type == VALUE_TEXT) {
    const size = min(textLen(value), MAX_VALUE_TEXT)
    const at = outPosition()
    if (outReserve(2)) store<u16>(at, size as u16)
    outBytes(textPtr(value), size)
  }
}

/** Reads what the request phase noted into entries; where it noted nothing by this section all of it is an error. */
function readKept(wanted: u32): void {
  kept = 0
  keptCount = 0
  const end = noted + notedSize
  if (notedSize < 4 || load<u32>(noted) != wanted) return
  outReserve(-outPosition() & 7)
  kept = outPosition()
  let at = noted + 4
  while (at < end) {
    const entry = outPosition()
    if (!outReserve(ENTRY)) return
    const type: i32 = load<u8>(at)
    const size = sizeOf(at, end)
    if (size == 0) return
    store<i32>(entry, type)
    store<i32>(entry + 4, type == VALUE_TEXT ? (load<u16>(at + 1) as i32) : 0)
    if (type == VALUE_TRUTH) store<i64>(entry + 8, load<u8>(at + 1))
    else if (type == VALUE_INTEGER) store<i64>(entry + 8, load<i64>(at + 1))
    else store<i64>(entry + 8, at + 3)
    keptCount++
    at += size
  }
}

/** Bytes of the noted value, 0 where it is none or cut off. */
function sizeOf(at: i32, end: i32): i32 {
  let size = 0
  switch (load<u8>(at) as i32) {
    case VALUE_ERROR:
      size = 1
      break
    case VALUE_TRUTH:
      size = 2
      break
    case VALUE_INTEGER:
      size = 9
      break
    case VALUE_TEXT:
      size = end - at < 3 ? 0 : 3 + (load<u16>(at + 1) as i32)
      break
  }
  return size > end - at ? 0 : size
}
