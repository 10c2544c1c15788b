// The ACCESS_LOG section of a compiled policy: the log format as a small program. Offsets are from the section's first byte.
//
//   u32 the program for OUTBOUND (0: no line), u32 the program for INGRESS and INBOUND (0: no line),
//   a program: u32 number of ops, u32 id (not 0; differs between formats), then ops of LOG_OP_SIZE bytes:
//     u8 code (LOG_*), u8 form (FORM_*), u8 1 where the next op is the alternative for an absent value, u8 spare,
//     u32 the most bytes of the value that are written, u32 offset and u32 length of a text, u32 number
//
// What the request phase knows is written by the request phase: LOG_PIECE stands before a run of ops (`number` of them)
// that it renders into one piece of the context (u32 length, bytes); the response phase copies the pieces and renders
// the rest. In front of the pieces stands the u32 id of their program, 0 where no line is to be written. Where there
// was no request phase, or it ran by another format, the response phase renders such a run with every value absent.

export const LOG_CLIENT: i32 = 0
export const LOG_SERVER: i32 = 4
export const LOG_HEADER_SIZE: i32 = 8

export const PROGRAM_OPS: i32 = 0
export const PROGRAM_ID: i32 = 4
export const PROGRAM_HEADER_SIZE: i32 = 8

export const OP_CODE: i32 = 0
export const OP_FORM: i32 = 1
export const OP_ELSE: i32 = 2
export const OP_LIMIT: i32 = 4
export const OP_TEXT: i32 = 8
export const OP_TEXT_LEN: i32 = 12
export const OP_NUMBER: i32 = 16
export const LOG_OP_SIZE: i32 = 20

/** Plain text: `"`, `\` and all bytes but printable ASCII become \xHH; an absent value is `-`. */
export const FORM_TEXT: i32 = 0
/** Inside a JSON string: escaped as JSON; an absent value is `-`. */
export const FORM_JSON_PART: i32 = 1
/** A whole JSON value: a quoted string, a number or null. */
export const FORM_JSON_VALUE: i32 = 2

/** No more of any one value is logged, so that a line stays in proportion to its request. */
export const MAX_LOGGED_VALUE: i32 = 4096

// Request and response phase.
/** Literal text, already in its form. */
export const LOG_TEXT: i32 = 0
/** A field of the head at hand; text: its name in lower case, number: the name's hash. */
export const LOG_FIELD: i32 = 1
/** Part `number` (TIME_*) of the start time; text: a table of names for TIME_WEEKDAY, TIME_MONTH and TIME_MERIDIEM. */
export const LOG_TIME: i32 = 2

// Request phase.
export const LOG_PIECE: i32 = 3
export const LOG_METHOD: i32 = 4
export const LOG_PATH: i32 = 5
export const LOG_PATH_WITHOUT_QUERY: i32 = 6
export const LOG_AUTHORITY: i32 = 7
export const LOG_SCHEME: i32 = 8
export const LOG_PROTOCOL: i32 = 9
/** The client's address as forwarding proxies tell it; number: ADDRESS_*. */
export const LOG_REMOTE: i32 = 10
/** The peer's address; number: ADDRESS_*. */
export const LOG_DIRECT_REMOTE: i32 = 11
/** The accepting address; number: ADDRESS_*. */
export const LOG_LOCAL: i32 = 12
export const LOG_PEER_URI: i32 = 13
/** Text: the own URI; absent where the peer is not authenticated, and so no identity was shown to it. */
export const LOG_LOCAL_URI: i32 = 14
/** Text: the cluster-local domain's suffix of a callee's name. */
export const LOG_CLUSTER: i32 = 15
export const LOG_TRACE_ID: i32 = 16
export const LOG_SPAN_ID: i32 = 17
export const LOG_REQUEST_ID: i32 = 18
export const LOG_FORWARDED_FOR: i32 = 19
export const LOG_FORWARDED_PROTO: i32 = 20
export const LOG_TRACEPARENT: i32 = 21
/** The path with which the request came, where a route has rewritten it. */
export const LOG_ORIGINAL_PATH: i32 = 22
/** Text: the name where no VirtualService applies. */
export const LOG_ROUTE_NAME: i32 = 23

// Response phase.
export const LOG_RESPONSE_CODE: i32 = 32
/**
 * Text: a table of entries u32 RESPONSE_FLAG_* bit, u32 offset, u32 length; number: its entries. The first one is for an
 * upstream's response, the last one for a local reply without any of the flags of those between.
 */
export const LOG_DETAILS: i32 = 33
export const LOG_UPSTREAM_HOST: i32 = 34
/** Number: the HOLE_* that the engine fills, with its HOLE_ABSENT_NULL and HOLE_QUOTED bits. */
export const LOG_HOLE: i32 = 35

export const ADDRESS_WITH_PORT: i32 = 0
export const ADDRESS_WITHOUT_PORT: i32 = 1
export const ADDRESS_PORT: i32 = 2

/** `2026-11-24T13:40:07.123Z`, the default. */
export const TIME_ISO: i32 = 0
export const TIME_YEAR: i32 = 1
export const TIME_YEAR_OF_CENTURY: i32 = 2
export const TIME_CENTURY: i32 = 3
export const TIME_MONTH_NUMBER: i32 = 4
export const TIME_DAY: i32 = 5
export const TIME_DAY_SPACED: i32 = 6
export const TIME_DAY_OF_YEAR: i32 = 7
export const TIME_HOUR: i32 = 8
export const TIME_HOUR_12: i32 = 9
export const TIME_MINUTE: i32 = 10
export const TIME_SECOND: i32 = 11
export const TIME_EPOCH_SECONDS: i32 = 12
/** The first one, two or three digits of the second's fraction. */
export const TIME_FRACTION_1: i32 = 13
export const TIME_FRACTION_2: i32 = 14
export const TIME_FRACTION_3: i32 = 15
export const TIME_WEEKDAY: i32 = 16
export const TIME_MONTH: i32 = 17
export const TIME_MERIDIEM: i32 = 18
export const TIME_WEEKDAY_NUMBER: i32 = 19
/** Each name in a table takes this many bytes, filled up with NUL. */
export const TIME_NAME_SIZE: i32 = 10
