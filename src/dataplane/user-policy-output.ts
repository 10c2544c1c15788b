// Reading what a user's module leaves in its memory, by src/sidecar/layout/user-policy.ts. All of it is hostile: an address, a length, a
// count, a name, a byte is checked before it is used, and copied.

import type { UserPolicySlice } from '../policy/user-policy-slice.ts'
import {
  KEY_SIZE,
  KEY_STATE,
  KEY_VALUE_PTR,
  MAX_AMOUNT_BITS,
  MAX_CARRY,
  MAX_DENIAL_TEXT,
  MAX_KEY,
  MAX_OPERATION_BYTES,
  MAX_OPERATION_VALUE,
  MAX_OPERATIONS,
  MAX_UPDATES,
  ON_RESPONSE,
  OPERATION_ADD,
  OPERATION_KIND,
  OPERATION_NAME_PTR,
  OPERATION_REMOVE,
  OPERATION_SET,
  OPERATION_SIZE,
  OPERATION_VALUE_PTR,
  OUTPUT_CARRY_PTR,
  OUTPUT_KEYS_PTR,
  OUTPUT_OPERATIONS_PTR,
  OUTPUT_RECORD,
  OUTPUT_STATUS,
  OUTPUT_TEXT_PTR,
  OUTPUT_UPDATES_PTR,
  UPDATE_AMOUNT,
  UPDATE_SIZE,
  UPDATE_STATE,
  UPDATE_VALUE_PTR,
} from '../sidecar/layout/user-policy.ts'

/** What is wrong with a module's output. */
export class BadPolicyOutput extends Error {}

/** What a policy does to a header field. */
export interface FieldOperation {
  /** OPERATION_* */
  readonly kind: number
  readonly onResponse: boolean
  /** In lower case. */
  readonly name: string
  readonly value: Buffer
}

export interface StateChange {
  readonly state: number
  readonly amount: number
  /** As latin1: a set's member, a last writer's value. */
  readonly bytes: string
}

const NONE = Buffer.alloc(0)
const MOST_AMOUNT = 2 ** MAX_AMOUNT_BITS

export class PolicyOutput {
  readonly #policy: UserPolicySlice
  readonly #memory: Buffer
  readonly #record: number
  readonly #writesFields: ReadonlySet<string>
  readonly #writesResponseFields: ReadonlySet<string>

  constructor(policy: UserPolicySlice, memory: Buffer, base: number) {
    this.#policy = policy
    this.#memory = memory
    this.#record = base + OUTPUT_RECORD
    this.#writesFields = new Set(policy.writesFields)
    this.#writesResponseFields = new Set(policy.writesResponseFields)
  }

  status(): number {
    const status = this.#word(this.#record + OUTPUT_STATUS)
    if (status < 400 || status > 599)
      throw new BadPolicyOutput(`a denial with status ${status}: expected 400 to 599`)
    return status
  }

  text(): string {
    const text = this.#bytes(this.#record + OUTPUT_TEXT_PTR, MAX_DENIAL_TEXT, "the denial's text").toString(
      'latin1',
    )
    if (!TEXT.test(text)) throw new BadPolicyOutput("the denial's text is not visible ASCII, spaces and LF")
    return text
  }

  /** `onRequest`: whether the request's fields may be changed still. */
  operations(onRequest: boolean): readonly FieldOperation[] {
    const [list, count] = this.#list(OUTPUT_OPERATIONS_PTR, MAX_OPERATIONS, OPERATION_SIZE, 'operations')
    if (count === 0) return NO_OPERATIONS
    let bytes = 0
    const operations: FieldOperation[] = []
    for (let i = 0; i < count; i++) {
      const operation = this.#operation(list + i * OPERATION_SIZE, i, onRequest)
      bytes += operation.name.length + operation.value.length
      if (bytes > MAX_OPERATION_BYTES) {
        throw new BadPolicyOutput(`the operations have more than ${MAX_OPERATION_BYTES} bytes`)
      }
      operations.push(operation)
    }
    return operations
  }

  /** `keyed`: the states that have a key, by index. */
  changes(keyed: readonly (string | null)[]): readonly StateChange[] {
    const [list, count] = this.#list(OUTPUT_UPDATES_PTR, MAX_UPDATES, UPDATE_SIZE, 'updates')
    if (count === 0) return NO_CHANGES
    const changes: StateChange[] = []
    for (let i = 0; i < count; i++) {
      const entry = list + i * UPDATE_SIZE
      const state = this.#word(entry + UPDATE_STATE)
      const declared = this.#policy.states[state]
      if (declared === undefined || keyed[state] === undefined || keyed[state] === null) {
        throw new BadPolicyOutput(
          `update ${i} is of state ${state}, which is not declared or has no key here`,
        )
      }
      const isCounter = declared.type === 'counter'
      const amount = isCounter ? Number(this.#memory.readBigInt64LE(entry + UPDATE_AMOUNT)) : 0
      if (amount > MOST_AMOUNT || amount < -MOST_AMOUNT)
        throw new BadPolicyOutput(`update ${i} adds ${amount}`)
      const most = isCounter ? 0 : declared.maxValueBytes
      const bytes = this.#bytes(entry + UPDATE_VALUE_PTR, most, `the bytes of update ${i}`)
      changes.push({ state, amount, bytes: bytes.toString('latin1') })
    }
    return changes
  }

  carry(): Buffer {
    return this.#bytes(this.#record + OUTPUT_CARRY_PTR, MAX_CARRY, 'what is carried')
  }

  /** Keys that the module has computed, by index of their state; a state that is not named has none. */
  keys(): Map<number, string> {
    const { states } = this.#policy
    const [list, count] = this.#list(OUTPUT_KEYS_PTR, states.length, KEY_SIZE, 'keys')
    const keys = new Map<number, string>()
    for (let i = 0; i < count; i++) {
      const entry = list + i * KEY_SIZE
      const state = this.#word(entry + KEY_STATE)
      if (states[state]?.key.from !== 'module' || keys.has(state)) {
        throw new BadPolicyOutput(`key ${i} is of state ${state}, whose key the module does not compute`)
      }
      keys.set(state, this.#bytes(entry + KEY_VALUE_PTR, MAX_KEY, `key ${i}`).toString('latin1'))
    }
    return keys
  }

  #operation(entry: number, index: number, onRequest: boolean): FieldOperation {
    const word = this.#word(entry + OPERATION_KIND)
    const onResponse = (word & ON_RESPONSE) !== 0
    const kind = (word & ~ON_RESPONSE) >>> 0
    if (kind !== OPERATION_SET && kind !== OPERATION_ADD && kind !== OPERATION_REMOVE) {
      throw new BadPolicyOutput(`operation ${index} is of kind ${word}`)
    }
    if (!onResponse && !onRequest)
      throw new BadPolicyOutput(`operation ${index} is on a request that has gone on`)
    const name = this.#bytes(entry + OPERATION_NAME_PTR, 255, `the name of operation ${index}`).toString(
      'latin1',
    )
    const writable = onResponse ? this.#writesResponseFields : this.#writesFields
    if (!writable.has(name)) {
      throw new BadPolicyOutput(
        `operation ${index} is on ${JSON.stringify(name)}, which the manifest does not let it write`,
      )
    }
    if (kind === OPERATION_REMOVE) return { kind, onResponse, name, value: NONE }
    const value = this.#bytes(entry + OPERATION_VALUE_PTR, MAX_OPERATION_VALUE, `the value of ${name}`)
    if (!isFieldValue(value)) throw new BadPolicyOutput(`the value of ${name} is not one of a header field`)
    return { kind, onResponse, name, value }
  }

  #list(place: number, most: number, size: number, what: string): [number, number] {
    const list = this.#word(this.#record + place)
    const count = this.#word(this.#record + place + 4)
    if (count === 0) return [0, 0]
    if (count > most) throw new BadPolicyOutput(`${count} ${what}: expected at most ${most}`)
    if (list > this.#memory.length || count * size > this.#memory.length - list) {
      throw new BadPolicyOutput(`${count} ${what} at ${list} lie outside the memory`)
    }
    return [list, count]
  }

  /** A copy of the bytes that an address and the length behind it name. */
  #bytes(place: number, most: number, what: string): Buffer {
    const start = this.#word(place)
    const length = this.#word(place + 4)
    if (length === 0) return NONE
    if (length > most) throw new BadPolicyOutput(`${what} has ${length} bytes: expected at most ${most}`)
    if (start > this.#memory.length || length > this.#memory.length - start) {
      throw new BadPolicyOutput(`${what} of ${length} bytes at ${start} lies outside the memory`)
    }
    return Buffer.from(this.#memory.subarray(start, start + length))
  }

  /** The module may have put its arrays at any address, also an odd one. */
  #word(at: number): number {
    return this.#memory.readUInt32LE(at)
  }
}

const NO_OPERATIONS: readonly FieldOperation[] = []
const NO_CHANGES: readonly StateChange[] = []
const TEXT = /^[\n\x20-\x7e]*$/

/** RFC 9110 5.5: visible bytes, and blanks between them. */
function isFieldValue(value: Buffer): boolean {
  for (const byte of value) if ((byte < 0x20 && byte !== 0x09) || byte === 0x7f) return false
  return !isBlank(value[0]) && !isBlank(value.at(-1))
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09
}
