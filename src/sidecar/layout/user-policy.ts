// The ABI between Mayfly and a policy that a user brings as WebAssembly. This file is its only source: the engine writes and
// reads by it, the SDK (sdk/) is compiled with it, docs/policy-abi.md explains it. Little endian; an address is a byte offset in
// the module's memory; `_PTR` and the `_LEN` or `_COUNT` behind it are a u32 address and a u32 length in bytes or in entries.
//
// A module's memory has two halves. The lower one is the module's own: static data, stack. The upper one, which starts at
// `memory.size * 32768`, is the exchange area; all zero but for what the engine writes before a call:
//
//   0x000  input record
//   0x100  output record    written by the module, read as hostile
//   0x180  variable input, up to INPUT_END; behind it the module may write what its output points to (or anywhere else)
//
// A module exports `request`, `response` or both, as it has phases, and `keys` where it computes keys of state; each from nothing
// to i32. What they return is below.

/** Version of this ABI; a module should refuse to judge by another one. */
export const POLICY_ABI_VERSION: i32 = 1

/** `memory.size` (pages of 64 KiB) times this is the address of the exchange area, and its size. */
export const AREA_PER_PAGE: i32 = 32768
/** Offsets in the exchange area. */
export const INPUT_RECORD: i32 = 0x000
export const OUTPUT_RECORD: i32 = 0x100
export const VARIABLE_INPUT: i32 = 0x180

// ---- What `request` and `response` return; anything else is a failure ----

export const RETURN_ALLOW: i32 = 1
/** OUTPUT_STATUS and OUTPUT_TEXT say with what. */
export const RETURN_DENY: i32 = 2
/** What `keys` returns. */
export const RETURN_KEYS: i32 = 1

// ---- Input record: offsets from INPUT_RECORD. What the manifest does not declare is 0 ----

export const INPUT_ABI: i32 = 0
/** PHASE_*. */
export const INPUT_PHASE: i32 = 4
/** First free address behind the variable input. */
export const INPUT_END: i32 = 8
/** Size of the whole memory in bytes. */
export const INPUT_MEMORY: i32 = 12
/** u64: milliseconds since the epoch at which the phase runs (`time`). */
export const INPUT_TIME: i32 = 16
/** FROM_* (`direction`). */
export const INPUT_DIRECTION: i32 = 24
/** The response's status (response phase). */
export const INPUT_STATUS: i32 = 28
export const INPUT_METHOD_PTR: i32 = 32
/** The normalised path, without its query. */
export const INPUT_PATH_PTR: i32 = 40
/** The query without its "?"; address 0 where there is none. */
export const INPUT_QUERY_PTR: i32 = 48
/** Host and port as forwarded. */
export const INPUT_AUTHORITY_PTR: i32 = 56
/** The peer's principal; address 0 where it is not authenticated. */
export const INPUT_PRINCIPAL_PTR: i32 = 64
/** The client's IP address as text. */
export const INPUT_CLIENT_ADDRESS_PTR: i32 = 72
/** The manifest's `configuration` as JSON. */
export const INPUT_CONFIGURATION_PTR: i32 = 80
/** Response phase: what the request phase left in OUTPUT_CARRY; address 0 where nothing. */
export const INPUT_CARRY_PTR: i32 = 88
/** Entries of PAIR_SIZE: the declared header fields that are there, of the request or of the response, by the phase. */
export const INPUT_FIELDS_PTR: i32 = 96
/** Entries of PAIR_SIZE: the declared claims that are there; one that is a list has one entry for each value. */
export const INPUT_CLAIMS_PTR: i32 = 104
/** Entries of STATE_SIZE: all declared states, in the manifest's order. */
export const INPUT_STATES_PTR: i32 = 112
export const INPUT_RECORD_SIZE: i32 = 120

export const PHASE_REQUEST: i32 = 1
export const PHASE_RESPONSE: i32 = 2

/** From outside, through the gateway. */
export const FROM_OUTSIDE: i32 = 1
/** From a function of the mesh. */
export const FROM_FUNCTION: i32 = 2

/** A name and a value: names as the manifest writes them. */
export const PAIR_NAME_PTR: i32 = 0
export const PAIR_VALUE_PTR: i32 = 8
export const PAIR_SIZE: i32 = 16

/** A state: its name, STATE_TYPE_*, STATE_* bits, and the value that it has for this request's key. */
export const STATE_NAME_PTR: i32 = 0
export const STATE_TYPE: i32 = 8
export const STATE_BITS: i32 = 12
/** Counter: its i64 value. Set: how many members it has. */
export const STATE_NUMBER: i32 = 16
/** Last writer: the value and its length. Set: its members, entries of MEMBER_SIZE (address, length), and their number. */
export const STATE_VALUE_PTR: i32 = 24
export const STATE_VALUE_COUNT: i32 = 28
export const STATE_SIZE: i32 = 32
export const MEMBER_SIZE: i32 = 8

export const STATE_TYPE_COUNTER: i32 = 1
export const STATE_TYPE_SET: i32 = 2
export const STATE_TYPE_LAST_WRITER: i32 = 3
/** The request has the state's key: only then may it be updated. */
export const STATE_KEYED: i32 = 1
/** Something was stored under the key in this window. */
export const STATE_STORED: i32 = 2

// ---- Output record: offsets from OUTPUT_RECORD ----

/** RETURN_DENY: 400 to 599. */
export const OUTPUT_STATUS: i32 = 0
/** RETURN_DENY: the body's text: visible ASCII, spaces and LF. */
export const OUTPUT_TEXT_PTR: i32 = 4
/** Entries of OPERATION_SIZE, applied in order. */
export const OUTPUT_OPERATIONS_PTR: i32 = 12
/** Entries of UPDATE_SIZE. */
export const OUTPUT_UPDATES_PTR: i32 = 20
/** Request phase: bytes for the response phase of the same request. */
export const OUTPUT_CARRY_PTR: i32 = 28
/** `keys`: entries of KEY_SIZE. */
export const OUTPUT_KEYS_PTR: i32 = 36
export const OUTPUT_RECORD_SIZE: i32 = 44

/** u32 OPERATION_* with ON_*, then name and value; a removal has no value. */
export const OPERATION_KIND: i32 = 0
export const OPERATION_NAME_PTR: i32 = 4
export const OPERATION_VALUE_PTR: i32 = 12
export const OPERATION_SIZE: i32 = 20

/** One field with that value, whatever was there. */
export const OPERATION_SET: i32 = 1
/** One more field of that name. */
export const OPERATION_ADD: i32 = 2
export const OPERATION_REMOVE: i32 = 3
/** The header fields of the request that goes on (request phase). */
export const ON_REQUEST: i32 = 0
/** Those of the response, of a denial too. */
export const ON_RESPONSE: i32 = 256

/** u32 index of the state, u32 spare, i64 amount (counter), address and length of bytes (set: a member; last writer: the value). */
export const UPDATE_STATE: i32 = 0
export const UPDATE_AMOUNT: i32 = 8
export const UPDATE_VALUE_PTR: i32 = 16
export const UPDATE_SIZE: i32 = 24

/** u32 index of the state, address and length of its key. */
export const KEY_STATE: i32 = 0
export const KEY_VALUE_PTR: i32 = 4
export const KEY_SIZE: i32 = 12

// ---- Bounds; an output beyond one is a failure ----

export const MAX_OPERATIONS: i32 = 32
export const MAX_OPERATION_VALUE: i32 = 4096
/** Names and values of all operations together. */
export const MAX_OPERATION_BYTES: i32 = 8192
export const MAX_DENIAL_TEXT: i32 = 1024
export const MAX_UPDATES: i32 = 16
/** An amount is between minus and plus 2 to the power of this. */
export const MAX_AMOUNT_BITS: i32 = 40
export const MAX_CARRY: i32 = 512
export const MAX_KEY: i32 = 256
