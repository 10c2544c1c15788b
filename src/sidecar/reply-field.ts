// Fields of the mesh's own reply, which has no field table: they are read from the lines that were written.

import { COLON, CR, equalIgnoreCase, LF, SP } from './bytes.ts'
import { OUT_HEAD_LEN, OUT_SEND_PTR, OUTPUT } from './layout/record.ts'

let value: i32 = 0
let valueSize: i32 = 0

/** Finds the first field of that name; its value is then at replyFieldPtr. */
export function findReplyField(name: i32, nameLen: i32): bool {
  const start = load<i32>(OUTPUT + OUT_SEND_PTR)
  const end = start + load<i32>(OUTPUT + OUT_HEAD_LEN)
  let line = start
  while (line < end) {
    let next = line
    while (next < end && load<u8>(next) != LF) next++
    if (
      next - line > nameLen + 1 &&
      load<u8>(line + nameLen) == COLON &&
      equalIgnoreCase(line, nameLen, name, nameLen)
    ) {
      value = line + nameLen + 1
      if (load<u8>(value) == SP) value++
      valueSize = (load<u8>(next - 1) == CR ? next - 1 : next) - value
      return valueSize >= 0
    }
    line = next + 1
  }
  return false
}

export function replyFieldPtr(): i32 {
  return value
}

export function replyFieldLen(): i32 {
  return valueSize
}
