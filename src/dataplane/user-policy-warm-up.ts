// A module runs slowly for its first some thousand calls, until the platform has compiled it well: these are made off the request path.

import { setImmediate } from 'node:timers/promises'
import {
  KEY_HEADER,
  KEY_SLOTS,
  KEY_STAGE,
  KEY_STATUS,
  KEY_TIME,
  SLOT_ABSENT,
  SLOT_CARRY,
  SLOT_FIRST_FIELD,
  SLOT_SIZE,
} from '../sidecar/layout/user-policies.ts'
import type { UserPolicyChain } from './user-policy-chain.ts'
import type { StageShape } from './user-policy-request.ts'

const RUNS = 3000
/** Time that it takes at most, in all and without a pause, in milliseconds. */
const MOST_MS = 40
const AT_ONCE_MS = 1

export async function warmUp(chain: UserPolicyChain): Promise<void> {
  const keys = chain.slice.stages.flatMap((stage, number) =>
    stage.run.length === 0
      ? []
      : [dummyKey(number, stage, null), dummyKey(number, stage, Buffer.from('a/b-1'))],
  )
  const begun = performance.now()
  let pausedAt = begun
  for (let run = 0; run < RUNS; run++) {
    for (const key of keys) {
      try {
        chain.answer(key)
      } catch {
        // Only the runs matter here, not what comes of them.
      }
    }
    const now = performance.now()
    if (now - begun > MOST_MS) return
    if (now - pausedAt < AT_ONCE_MS) continue
    await setImmediate()
    pausedAt = performance.now()
  }
}

/** A request in which everything that is read is absent, or has the same value. */
function dummyKey(stage: number, shape: StageShape, value: Buffer | null): Buffer {
  const slots = SLOT_FIRST_FIELD + shape.fields.length + shape.claims.length
  const firstClaim = SLOT_FIRST_FIELD + shape.fields.length
  const valueAt = KEY_HEADER + slots * SLOT_SIZE
  const size = value?.length ?? 0
  const key = Buffer.alloc(valueAt + 4 + size)
  key.writeUInt32LE(stage, KEY_STAGE)
  key.writeUInt32LE(200, KEY_STATUS)
  key.writeUInt32LE(slots, KEY_SLOTS)
  key.writeUInt32LE(1, KEY_TIME)
  for (let slot = 0; slot < slots; slot++) {
    const at = KEY_HEADER + slot * SLOT_SIZE
    if (value === null || slot === SLOT_CARRY) {
      key.writeUInt32LE(SLOT_ABSENT, at + 4)
      continue
    }
    // A claim's slot is a list of values, each with its length.
    const isClaim = slot >= firstClaim
    key.writeUInt32LE(isClaim ? valueAt : valueAt + 4, at)
    key.writeUInt32LE(isClaim ? size + 4 : size, at + 4)
  }
  key.writeUInt32LE(size, valueAt)
  if (value !== null) key.set(value, valueAt + 4)
  return key
}
