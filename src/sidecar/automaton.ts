// Regular expressions that take a text as a whole (layout/automaton.ts), in time that is linear in its length.

import { stepsMatch } from './automaton-program.ts'
import {
  AUTOMATON_FORM,
  AUTOMATON_TABLE,
  TABLE_CLASS_OF,
  TABLE_CLASSES,
  TABLE_FIRST_ROW,
  TABLE_ROWS,
} from './layout/automaton.ts'

/** Whether the text is one that the expression takes. Where there is no room to tell, the phase fails by the writer's overflow. */
export function automatonMatches(automaton: i32, ptr: i32, len: i32): bool {
  if ((load<u16>(automaton + AUTOMATON_FORM) as i32) != AUTOMATON_TABLE)
    return stepsMatch(automaton, ptr, len)
  const classOf = automaton + TABLE_CLASS_OF
  const rows = automaton + TABLE_ROWS
  const end = ptr + len
  let row = load<i32>(automaton + TABLE_FIRST_ROW)
  for (let p = ptr; p < end; p++) {
    row = load<u16>(rows + row + ((load<u8>(classOf + (load<u8>(p) as i32)) as i32) << 1))
    if (row == 0) return false
  }
  return load<u16>(rows + row + ((load<u16>(automaton + TABLE_CLASSES) as i32) << 1)) != 0
}
