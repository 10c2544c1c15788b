// Writing the input of a user's module into its memory, by src/sidecar/layout/user-policy.ts. What is the same each time (names, the
// configuration) is laid out once and copied.

import type { UserPolicySlice } from '../policy/user-policy-slice.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { DIRECTION_INGRESS } from '../sidecar/layout/record.ts'
import {
  SLOT_AUTHORITY,
  SLOT_CLIENT_ADDRESS,
  SLOT_METHOD,
  SLOT_PATH,
  SLOT_PRINCIPAL,
  SLOT_QUERY,
} from '../sidecar/layout/user-policies.ts'
import {
  FROM_FUNCTION,
  FROM_OUTSIDE,
  INPUT_ABI,
  INPUT_AUTHORITY_PTR,
  INPUT_CARRY_PTR,
  INPUT_CLAIMS_PTR,
  INPUT_CLIENT_ADDRESS_PTR,
  INPUT_CONFIGURATION_PTR,
  INPUT_DIRECTION,
  INPUT_END,
  INPUT_FIELDS_PTR,
  INPUT_MEMORY,
  INPUT_METHOD_PTR,
  INPUT_PATH_PTR,
  INPUT_PHASE,
  INPUT_PRINCIPAL_PTR,
  INPUT_QUERY_PTR,
  INPUT_STATES_PTR,
  INPUT_STATUS,
  INPUT_TIME,
  MEMBER_SIZE,
  PAIR_NAME_PTR,
  PAIR_SIZE,
  PAIR_VALUE_PTR,
  PHASE_REQUEST,
  PHASE_RESPONSE,
  POLICY_ABI_VERSION,
  STATE_BITS,
  STATE_KEYED,
  STATE_NAME_PTR,
  STATE_NUMBER,
  STATE_SIZE,
  STATE_STORED,
  STATE_TYPE,
  STATE_TYPE_COUNTER,
  STATE_TYPE_LAST_WRITER,
  STATE_TYPE_SET,
  STATE_VALUE_COUNT,
  STATE_VALUE_PTR,
  VARIABLE_INPUT,
} from '../sidecar/layout/user-policy.ts'
import type { Stored } from '../state/user-state.ts'
import { claimValues, type StageRequest } from './user-policy-request.ts'

/** A value that would not fit the exchange area. */
export class InputTooLarge extends Error {}

/** Slots that are one text of the record each. */
const RECORD_PLACES: Readonly<Record<number, number>> = {
  [SLOT_METHOD]: INPUT_METHOD_PTR,
  [SLOT_PATH]: INPUT_PATH_PTR,
  [SLOT_QUERY]: INPUT_QUERY_PTR,
  [SLOT_AUTHORITY]: INPUT_AUTHORITY_PTR,
  [SLOT_PRINCIPAL]: INPUT_PRINCIPAL_PTR,
  [SLOT_CLIENT_ADDRESS]: INPUT_CLIENT_ADDRESS_PTR,
}

const STATE_TYPES = {
  counter: STATE_TYPE_COUNTER,
  set: STATE_TYPE_SET,
  lastWriter: STATE_TYPE_LAST_WRITER,
} as const

/** Where a name lies that is the same in each run: its address and length, and the slot of its value. */
interface Named {
  readonly address: number
  readonly length: number
  readonly slot: number
}

/** Writes one policy's input for one stage. */
export class PolicyInput {
  readonly #policy: UserPolicySlice
  readonly #memory: Buffer
  readonly #words: Uint32Array
  readonly #base: number
  readonly #image: Buffer
  readonly #texts: readonly { place: number; slot: number }[]
  readonly #fields: readonly Named[]
  readonly #claims: readonly Named[]
  readonly #statesAt: number
  readonly #isResponse: boolean
  #end = 0

  /** `fields` and `claims` are what the policy is told, with the slots of their values in the stage's requests. */
  constructor(
    policy: UserPolicySlice,
    sandbox: Sandbox,
    base: number,
    isResponse: boolean,
    fields: readonly { name: string; slot: number }[],
    claims: readonly { name: string; slot: number }[],
  ) {
    this.#policy = policy
    this.#memory = sandbox.memory
    this.#words = new Uint32Array(this.#memory.buffer, this.#memory.byteOffset, this.#memory.length >> 2)
    this.#base = base
    this.#isResponse = isResponse
    this.#texts = isResponse ? [] : policy.slots.map((slot) => ({ place: RECORD_PLACES[slot]!, slot }))
    const image = new Image(base)
    image.word(INPUT_ABI, POLICY_ABI_VERSION)
    image.word(INPUT_PHASE, isResponse ? PHASE_RESPONSE : PHASE_REQUEST)
    image.word(INPUT_MEMORY, this.#memory.length)
    if (policy.configuration !== '') {
      const { address, length } = image.text(policy.configuration)
      image.word(INPUT_CONFIGURATION_PTR, address)
      image.word(INPUT_CONFIGURATION_PTR + 4, length)
    }
    const named = ({ name, slot }: { name: string; slot: number }) => ({ ...image.text(name), slot })
    this.#fields = fields.map(named)
    this.#claims = claims.map(named)
    const names = policy.states.map(({ name }) => image.text(name))
    this.#statesAt = image.reserve(names.length * STATE_SIZE)
    image.word(INPUT_STATES_PTR, this.#statesAt)
    image.word(INPUT_STATES_PTR + 4, names.length)
    for (const [index, { address, length }] of names.entries()) {
      const entry = this.#statesAt - base + index * STATE_SIZE
      image.word(entry + STATE_NAME_PTR, address)
      image.word(entry + STATE_NAME_PTR + 4, length)
      image.word(entry + STATE_TYPE, STATE_TYPES[policy.states[index]!.type])
    }
    this.#image = image.finish()
    if (base + this.#image.length > this.#memory.length) {
      throw new InputTooLarge(
        'configuration and names do not fit the exchange area: declare more memoryPages',
      )
    }
  }

  /** Writes everything but the states' values into a fresh memory. */
  write(request: StageRequest, carry: Buffer | null): void {
    const words = this.#words
    this.#memory.set(this.#image, this.#base)
    this.#end = this.#base + this.#image.length
    const policy = this.#policy
    const record = this.#base >> 2
    if (policy.time) {
      words[record + (INPUT_TIME >> 2)] = request.time % 0x1_0000_0000
      words[record + (INPUT_TIME >> 2) + 1] = Math.floor(request.time / 0x1_0000_0000)
    }
    if (this.#isResponse) words[record + (INPUT_STATUS >> 2)] = request.status
    else if (policy.direction) {
      words[record + (INPUT_DIRECTION >> 2)] =
        request.direction === DIRECTION_INGRESS ? FROM_OUTSIDE : FROM_FUNCTION
    }
    for (const { place, slot } of this.#texts) {
      const value = request.slots[slot]
      if (value) this.#reference(record + (place >> 2), value)
    }
    if (carry !== null) this.#reference(record + (INPUT_CARRY_PTR >> 2), carry)
    this.#writePairs(this.#fields, request, INPUT_FIELDS_PTR, (value) => [value])
    this.#writePairs(this.#claims, request, INPUT_CLAIMS_PTR, claimValues)
    words[record + (INPUT_END >> 2)] = this.#end
  }

  /** Writes what is stored under a state's key. */
  writeState(index: number, stored: Readonly<Stored> | undefined): void {
    const words = this.#words
    const entry = (this.#statesAt + index * STATE_SIZE) >> 2
    words[entry + (STATE_BITS >> 2)] = stored === undefined ? STATE_KEYED : STATE_KEYED | STATE_STORED
    if (stored === undefined) return
    const number = BigInt(stored.number)
    words[entry + (STATE_NUMBER >> 2)] = Number(number & 0xffff_ffffn)
    words[entry + (STATE_NUMBER >> 2) + 1] = Number((number >> 32n) & 0xffff_ffffn)
    const { type } = this.#policy.states[index]!
    if (type === 'lastWriter') {
      this.#reference(entry + (STATE_VALUE_PTR >> 2), Buffer.from(stored.value, 'latin1'))
    } else if (type === 'set') {
      const members = [...stored.members]
      const list = this.#take(members.length * MEMBER_SIZE)
      words[entry + (STATE_VALUE_PTR >> 2)] = list
      words[entry + (STATE_VALUE_COUNT >> 2)] = members.length
      for (const [i, member] of members.entries()) {
        this.#reference((list + i * MEMBER_SIZE) >> 2, Buffer.from(member, 'latin1'))
      }
    }
    words[(this.#base + INPUT_END) >> 2] = this.#end
  }

  /** One entry for each value of each name that is there. */
  #writePairs(
    named: readonly Named[],
    request: StageRequest,
    place: number,
    valuesOf: (slot: Buffer) => Buffer[],
  ): void {
    if (named.length === 0) return
    const words = this.#words
    const pairs: { name: Named; value: Buffer }[] = []
    for (const name of named) {
      const slot = request.slots[name.slot]
      if (!slot) continue
      for (const value of valuesOf(slot)) pairs.push({ name, value })
    }
    const list = this.#take(pairs.length * PAIR_SIZE)
    words[(this.#base + place) >> 2] = list
    words[(this.#base + place + 4) >> 2] = pairs.length
    for (const [i, { name, value }] of pairs.entries()) {
      const pair = (list + i * PAIR_SIZE) >> 2
      words[pair + (PAIR_NAME_PTR >> 2)] = name.address
      words[pair + (PAIR_NAME_PTR >> 2) + 1] = name.length
      this.#reference(pair + (PAIR_VALUE_PTR >> 2), value)
    }
  }

  /** Copies bytes in and notes address and length at a word. */
  #reference(word: number, bytes: Buffer): void {
    const at = this.#take(bytes.length)
    this.#memory.set(bytes, at)
    this.#words[word] = at
    this.#words[word + 1] = bytes.length
  }

  /** The next bytes of the exchange area, from a multiple of 8. */
  #take(length: number): number {
    const at = (this.#end + 7) & ~7
    if (at + length > this.#memory.length) throw new InputTooLarge('the input does not fit the exchange area')
    this.#end = at + length
    return at
  }
}

/** What is the same in each run, from the exchange area's start. */
class Image {
  readonly #base: number
  #bytes = Buffer.alloc(VARIABLE_INPUT)

  constructor(base: number) {
    this.#base = base
  }

  word(offset: number, value: number): void {
    this.#bytes.writeUInt32LE(value, offset)
  }

  text(text: string): { address: number; length: number } {
    const bytes = Buffer.from(text)
    const address = this.reserve(bytes.length)
    bytes.copy(this.#bytes, address - this.#base)
    return { address, length: bytes.length }
  }

  reserve(length: number): number {
    const at = (this.#bytes.length + 7) & ~7
    this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(at - this.#bytes.length + length)])
    return this.#base + at
  }

  finish(): Buffer {
    return this.#bytes
  }
}
