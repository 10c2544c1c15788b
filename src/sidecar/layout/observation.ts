// The OBSERVATION section of a compiled policy: what a function's sidecar finds out about an exchange for its access log's
// filter, its metrics' tags and its spans' tags. Offsets are from the section's first byte.
//
//   u32 id (not 0; differs between sections), u32 spare,
//   then for OUTBOUND, and for INGRESS and INBOUND, OBSERVATION_MODE_SIZE bytes:
//     u32 offset of the request phase's program (0: none), u32 offset of the response phase's program (0: none),
//     u32 number + 1 of the value that is the log's filter (0: nothing is filtered here)
//   a program: u32 number of steps, u32 number of values, then steps of STEP_SIZE bytes: u32 STEP_*, three u32 numbers
//
// Steps run one after the other, each once, on a stack of values: there are no jumps, so a run is as long as its program.
// What the request phase has found out (its values, in order) goes into the context, for STEP_KEPT in the response
// phase; the response phase's values go to the engine at OUT_VALUES, which does what is left to do when figures are known.
//
// A value in the context and in the output: u8 VALUE_*, then for VALUE_TRUTH u8 0 or 1, for VALUE_INTEGER i64, for
// VALUE_TEXT u16 length and bytes (cut at MAX_VALUE_TEXT). An error (VALUE_ERROR) is CEL's: something is not there.

export const OBSERVATION_ID: i32 = 0
export const OBSERVATION_CLIENT: i32 = 8
export const OBSERVATION_SERVER: i32 = 20
export const OBSERVATION_HEADER: i32 = 32

export const MODE_REQUEST: i32 = 0
export const MODE_RESPONSE: i32 = 4
export const MODE_FILTER: i32 = 8
export const OBSERVATION_MODE_SIZE: i32 = 12

export const PROGRAM_STEPS: i32 = 0
export const PROGRAM_VALUES: i32 = 4
export const PROGRAM_FIRST: i32 = 8

export const STEP_CODE: i32 = 0
export const STEP_A: i32 = 4
export const STEP_B: i32 = 8
export const STEP_C: i32 = 12
export const STEP_SIZE: i32 = 16

export const VALUE_ERROR: i32 = 0
export const VALUE_TRUTH: i32 = 1
export const VALUE_INTEGER: i32 = 2
export const VALUE_TEXT: i32 = 3

/** Most values of one program, and most steps of a function's. */
export const MAX_VALUES: i32 = 48
export const MAX_PROGRAM_STEPS: i32 = 2048
/** Most values on the stack. */
export const MAX_STACK: i32 = 128
export const MAX_VALUE_TEXT: i32 = 1024
/** A text that is joined from others grows no longer; a longer one is an error. */
export const MAX_JOINED: i32 = 4096

/** A phase's steps together write so many bytes of texts, and look through so many for others; beyond that they give errors. */
export const MAX_WRITTEN: i32 = 32768
export const MAX_SEARCHED: i32 = 65536

// Steps that put a value on the stack.
/** A: 0 or 1. */
export const STEP_TRUTH: i32 = 1
/** A, B: the number, as i64. */
export const STEP_INTEGER: i32 = 2
/** A: offset, B: length of the text. */
export const STEP_TEXT: i32 = 3
/** A: number of the value that the request phase found out. */
export const STEP_KEPT: i32 = 4
/** A: ATTRIBUTE_* of below; STEP_B and STEP_C as the attribute says. */
export const STEP_ATTRIBUTE: i32 = 5
/** A field of the head at hand. A: offset, B: length of its name in lower case, C: the name's hash. */
export const STEP_FIELD: i32 = 6

// Steps that replace the values on top of the stack by one.
export const STEP_HAS: i32 = 16
export const STEP_NOT: i32 = 17
export const STEP_TO_TEXT: i32 = 18
export const STEP_AND: i32 = 19
export const STEP_OR: i32 = 20
export const STEP_EQUAL: i32 = 21
export const STEP_LESS: i32 = 22
export const STEP_STARTS: i32 = 23
export const STEP_ENDS: i32 = 24
/** C: offset of the sought text's table: u16 for each of its bytes, where the search goes on after a mismatch (Knuth, Morris, Pratt). */
export const STEP_CONTAINS: i32 = 25
export const STEP_JOIN: i32 = 26
/** Of the value on top alone. A: offset of the automaton (automaton.ts). */
export const STEP_MATCHES: i32 = 28
/** Condition, value for true, value for false. */
export const STEP_CHOICE: i32 = 27

/** Takes the value on top as value number A of the program. */
export const STEP_KEEP: i32 = 32

// Attributes; named OBSERVED_* since authorization has ATTRIBUTE_* of its own.
export const OBSERVED_PATH: i32 = 1
export const OBSERVED_URL_PATH: i32 = 2
export const OBSERVED_QUERY: i32 = 3
export const OBSERVED_HOST: i32 = 4
export const OBSERVED_SCHEME: i32 = 5
export const OBSERVED_METHOD: i32 = 6
export const OBSERVED_PROTOCOL: i32 = 7
export const OBSERVED_REQUEST_ID: i32 = 8
export const OBSERVED_SOURCE_ADDRESS: i32 = 9
export const OBSERVED_SOURCE_PORT: i32 = 10
export const OBSERVED_DESTINATION_ADDRESS: i32 = 11
export const OBSERVED_DESTINATION_PORT: i32 = 12
export const OBSERVED_MTLS: i32 = 13
export const OBSERVED_PEER_URI: i32 = 14
export const OBSERVED_LOCAL_URI: i32 = 15
export const OBSERVED_CODE: i32 = 32
/** B: offset, C: entries of a table as LOG_DETAILS of the access log has it. */
export const OBSERVED_CODE_DETAILS: i32 = 33
export const OBSERVED_UPSTREAM_ADDRESS: i32 = 34
export const OBSERVED_UPSTREAM_PORT: i32 = 35
