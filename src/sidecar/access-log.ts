// The access-log line: what the request phase knows of it goes into the context as pieces, the response phase puts the
// line together and leaves holes for the figures that only the engine has. The program is that of layout/access-log.ts.

import {
  LOG_CLIENT,
  LOG_HEADER_SIZE,
  LOG_HOLE,
  LOG_OP_SIZE,
  LOG_PIECE,
  LOG_SERVER,
  LOG_TEXT,
  LOG_TIME,
  OP_CODE,
  OP_ELSE,
  OP_FORM,
  OP_NUMBER,
  OP_TEXT,
  OP_TEXT_LEN,
  PROGRAM_HEADER_SIZE,
  PROGRAM_ID,
  PROGRAM_OPS,
} from './layout/access-log.ts'
import {
  DIRECTION_OUTBOUND,
  HOLE_SIZE,
  LOG_HOLES,
  MAX_HOLES,
  OUT_LOG_HOLES,
  OUT_LOG_LEN,
  OUT_LOG_PTR,
  OUTPUT,
} from './layout/record.ts'
import { outLogValue } from './log-operators.ts'
import { outTimePart, readTime } from './log-time.ts'
import { outAbsent } from './log-value.ts'
import { direction, outBytes, outPosition, outReserve, outU32 } from './message.ts'

/** Appends what the request phase knows of its log line to the context that is being written. */
export function logRequest(section: i32, len: i32): void {
  const program = len < LOG_HEADER_SIZE ? 0 : programOf(section, direction())
  outWord(program == 0 ? 0 : load<u32>(program + PROGRAM_ID))
  if (program == 0) return
  readTime()
  let op = program + PROGRAM_HEADER_SIZE
  const end = op + load<i32>(program + PROGRAM_OPS) * LOG_OP_SIZE
  while (op < end) {
    if (load<u8>(op + OP_CODE) != LOG_PIECE) {
      op += LOG_OP_SIZE
      continue
    }
    const run = load<i32>(op + OP_NUMBER)
    const lengthAt = outPosition()
    outWord(0)
    const start = outPosition()
    outRun(section, op + LOG_OP_SIZE, run, true)
    if (outPosition() > start) store<u32>(lengthAt, outPosition() - start)
    op += LOG_OP_SIZE * (run + 1)
  }
}

/** Writes the log line of a request whose context holds the pieces, and notes it in the output record. */
export function logResponse(section: i32, len: i32, pieces: i32, piecesLen: i32): void {
  if (len < LOG_HEADER_SIZE) return
  const piecesEnd = pieces + piecesLen
  let program = 0
  let known = piecesLen >= 4
  if (known) {
    const id = load<u32>(pieces)
    if (id == 0) return
    program = programWithId(section, id)
    pieces += 4
  }
  if (program == 0) {
    // Nothing was noted by this format: all that the request phase knew is absent.
    known = false
    program = programOf(section, direction())
    if (program == 0) return
  }
  const start = outPosition()
  let op = program + PROGRAM_HEADER_SIZE
  const end = op + load<i32>(program + PROGRAM_OPS) * LOG_OP_SIZE
  while (op < end) {
    if (load<u8>(op + OP_CODE) == LOG_PIECE) {
      const run = load<i32>(op + OP_NUMBER)
      const size = known && piecesEnd - pieces >= 4 ? load<i32>(pieces) : -1
      if (size >= 0 && size <= piecesEnd - pieces - 4) {
        outBytes(pieces + 4, size)
        pieces += 4 + size
      } else {
        known = false
        readTime()
        outRun(section, op + LOG_OP_SIZE, run, false)
      }
      op += LOG_OP_SIZE * (run + 1)
      continue
    }
    op += LOG_OP_SIZE * outOp(section, op, true, start)
  }
  outU32(OUT_LOG_PTR, start)
  outU32(OUT_LOG_LEN, outPosition() - start)
}

function programOf(section: i32, way: i32): i32 {
  const offset = load<i32>(section + (way == DIRECTION_OUTBOUND ? LOG_CLIENT : LOG_SERVER))
  return offset == 0 ? 0 : section + offset
}

function programWithId(section: i32, id: u32): i32 {
  const server = programOf(section, -1)
  if (server != 0 && load<u32>(server + PROGRAM_ID) == id) return server
  const client = programOf(section, DIRECTION_OUTBOUND)
  return client != 0 && load<u32>(client + PROGRAM_ID) == id ? client : 0
}

function outRun(section: i32, op: i32, count: i32, known: bool): void {
  const end = op + count * LOG_OP_SIZE
  while (op < end) op += LOG_OP_SIZE * outOp(section, op, known, 0)
}

/** Runs one op; `known` is false where the request's values are not there. Gives the number of ops that are done with. */
function outOp(section: i32, op: i32, known: bool, lineStart: i32): i32 {
  const code: i32 = load<u8>(op + OP_CODE)
  const text = section + load<i32>(op + OP_TEXT)
  if (code == LOG_TEXT) {
    outBytes(text, load<i32>(op + OP_TEXT_LEN))
    return 1
  }
  if (code == LOG_TIME) {
    outTimePart(load<i32>(op + OP_NUMBER), text)
    return 1
  }
  if (code == LOG_HOLE) {
    addHole(outPosition() - lineStart, load<u32>(op + OP_NUMBER))
    return 1 + (load<u8>(op + OP_ELSE) as i32)
  }
  if (known && outLogValue(code, op, section)) return 1 + (load<u8>(op + OP_ELSE) as i32)
  if (load<u8>(op + OP_ELSE) == 0) outAbsent(load<u8>(op + OP_FORM))
  return 1
}

function addHole(offset: i32, kind: u32): void {
  const count = load<i32>(OUTPUT + OUT_LOG_HOLES)
  if (count >= MAX_HOLES) return
  store<u32>(LOG_HOLES + count * HOLE_SIZE, offset)
  store<u32>(LOG_HOLES + count * HOLE_SIZE + 4, kind)
  outU32(OUT_LOG_HOLES, count + 1)
}

function outWord(value: u32): void {
  const at = outPosition()
  if (outReserve(4)) store<u32>(at, value)
}
