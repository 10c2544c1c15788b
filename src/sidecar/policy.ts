// The compiled policy in memory: where its sections lie (layout/policy.ts).

import {
  POLICY_ABI,
  POLICY_LENGTH,
  POLICY_SECTIONS,
  POLICY_TABLE,
  SECTION_ENTRY,
  SECTIONS,
} from './layout/policy.ts'
import { ABI_VERSION, IN_POLICY_LEN, IN_POLICY_PTR } from './layout/record.ts'
import { inU32 } from './message.ts'

let policy: i32 = 0

/** Looks at the policy in memory; false where it is not one for this sidecar. Then no section is there. */
export function readPolicy(): bool {
  const ptr: i32 = inU32(IN_POLICY_PTR)
  const len: i32 = inU32(IN_POLICY_LEN)
  policy = 0
  if (len < POLICY_TABLE + SECTIONS * SECTION_ENTRY) return false
  if (load<i32>(ptr + POLICY_ABI) != ABI_VERSION || load<i32>(ptr + POLICY_LENGTH) != len) return false
  if (load<i32>(ptr + POLICY_SECTIONS) != SECTIONS) return false
  for (let section = 0; section < SECTIONS; section++) {
    const entry = ptr + POLICY_TABLE + section * SECTION_ENTRY
    const start = load<u32>(entry)
    if (start > (len as u32) || load<u32>(entry + 4) > (len as u32) - start) return false
  }
  policy = ptr
  return true
}

/** Address of a section (SECTION_*); look at sectionLen before using it. */
export function sectionPtr(section: i32): i32 {
  return policy + load<i32>(policy + POLICY_TABLE + section * SECTION_ENTRY)
}

/** Length of a section, 0 where it is absent. */
export function sectionLen(section: i32): i32 {
  return policy == 0 ? 0 : load<i32>(policy + POLICY_TABLE + section * SECTION_ENTRY + 4)
}
