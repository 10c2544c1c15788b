// State that outlives requests: declared in the manifest, kept by the mesh, given with the value that it has for this request's key.

import { absent, area, Bytes } from './bytes'
import {
  INPUT_STATES_PTR,
  KEY_VALUE_PTR,
  MEMBER_SIZE,
  STATE_BITS,
  STATE_KEYED,
  STATE_NUMBER,
  STATE_SIZE,
  STATE_STORED,
  STATE_VALUE_COUNT,
  STATE_VALUE_PTR,
  UPDATE_AMOUNT,
  UPDATE_VALUE_PTR,
} from './layout'
import { nextKey, nextUpdate, refer } from './output'

/** A declared state; fails where the manifest has none of that name. */
export function state(name: string): State {
  let entry = load<i32>(area() + INPUT_STATES_PTR)
  const end = entry + load<i32>(area() + INPUT_STATES_PTR, 4) * STATE_SIZE
  while (entry < end && !changetype<Bytes>(entry).equals(name)) entry += STATE_SIZE
  if (entry == end) unreachable()
  return changetype<State>(entry)
}

@unmanaged
export class State {
  /** Whether the request has the state's key; only then may the state be changed. */
  get isKeyed(): bool {
    return (load<i32>(this.here + STATE_BITS) & STATE_KEYED) != 0
  }

  /** Whether anything is stored under the key in this window. */
  get isStored(): bool {
    return (load<i32>(this.here + STATE_BITS) & STATE_STORED) != 0
  }

  /** A counter's value, or how many members a set has. */
  get number(): i64 {
    return load<i64>(this.here + STATE_NUMBER)
  }

  /** What was written last. */
  get value(): Bytes {
    return this.isStored ? changetype<Bytes>(this.here + STATE_VALUE_PTR) : absent()
  }

  /** Whether a set has the member. */
  has(member: Bytes): bool {
    const list = load<i32>(this.here + STATE_VALUE_PTR)
    const count = load<i32>(this.here + STATE_VALUE_COUNT)
    for (let i = 0; i < count; i++) {
      if (changetype<Bytes>(list + i * MEMBER_SIZE).equalsBytes(member)) return true
    }
    return false
  }

  /** Adds to a counter. */
  add(amount: i64): void {
    store<i64>(this.change() + UPDATE_AMOUNT, amount)
  }

  /** Inserts a member into a set. */
  insert(member: Bytes): void {
    refer(this.change() + UPDATE_VALUE_PTR, member)
  }

  /** Writes a last writer's value. */
  write(value: Bytes): void {
    refer(this.change() + UPDATE_VALUE_PTR, value)
  }

  /** Says what the key is, in `keys`; for a state whose key is `from: module`. */
  setKey(key: Bytes): void {
    const entry = nextKey()
    store<i32>(entry, this.index)
    refer(entry + KEY_VALUE_PTR, key)
  }

  private get here(): i32 {
    return changetype<i32>(this)
  }

  private get index(): i32 {
    return (this.here - load<i32>(area() + INPUT_STATES_PTR)) / STATE_SIZE
  }

  private change(): i32 {
    const entry = nextUpdate()
    store<i32>(entry, this.index)
    return entry
  }
}
