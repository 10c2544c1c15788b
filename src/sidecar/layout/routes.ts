// The ROUTES section: the http routes of the VirtualServices that apply to one function, in the order in which they are
// tried. A section is u32 number of services, then their blocks. A block begins with its own length, is a multiple of 4 bytes
// long, and all offsets in it count from its first byte; offset 0: the part is absent. A text is u32 offset, u32 length.

// ---- Service: the VirtualService that a request goes by is the first whose callers it comes from; then its routes ----

export const SERVICE_LENGTH: i32 = 0
/** u32 FROM_* bits. */
export const SERVICE_FROM: i32 = 4
/** u32 offset of a string list with the namespaces of callers that it is exported to; 0: all. */
export const SERVICE_NAMESPACES: i32 = 8
/** u32 number of routes, u32 offset of the first. */
export const SERVICE_ROUTES: i32 = 12
export const SERVICE_FIRST_ROUTE: i32 = 16
/** Text "namespace/name". */
export const SERVICE_NAME: i32 = 20

/** Requests that come through the gateway, and those of functions. */
export const FROM_GATEWAY: i32 = 1
export const FROM_INSIDE: i32 = 2

// ---- Route ----

export const ROUTE_LENGTH: i32 = 0
/** u32 number in the plan (route-plan.ts), also the rule number of its verdict. */
export const ROUTE_INDEX: i32 = 4
/** u32 number of matches (at least one), u32 offset of the first. */
export const ROUTE_MATCHES: i32 = 8
export const ROUTE_FIRST_MATCH: i32 = 12
/** u32 offset of the action. */
export const ROUTE_ACTION: i32 = 16

// ---- Match: holds if the request comes from one of FROM and all conditions hold ----

export const MATCH_LENGTH: i32 = 0
/** u32 FROM_* bits. */
export const MATCH_FROM: i32 = 4
/** u32 number of conditions, u32 offset of the first. */
export const MATCH_CONDITIONS: i32 = 8
export const MATCH_FIRST_CONDITION: i32 = 12
/** u32 how many of the path's bytes rewrite.uri replaces: WHOLE_PATH, or the matched prefix. */
export const MATCH_REPLACED: i32 = 16
/** Text: the name of route and match for access logs. */
export const MATCH_NAME: i32 = 20

export const WHOLE_PATH: i32 = -1

// ---- Condition: u32 length, u16 ON_*, u16 CONDITION_* bits, u32 offset of its operand, u32 offset of its text match;
// subject of headers: u32 hash at CONDITION_HASH and the name as text; of query parameters: the name as text ----

export const ROUTE_CONDITION_LENGTH: i32 = 0
export const ROUTE_CONDITION_ON: i32 = 4
export const ROUTE_CONDITION_BITS: i32 = 6
/** u32 offset of a text match; ON_PRINCIPAL: of a string list; ON_PORT: the port itself. */
export const ROUTE_CONDITION_OPERAND: i32 = 8
export const ROUTE_CONDITION_HASH: i32 = 12
export const ROUTE_CONDITION_NAME: i32 = 16

/** The condition holds where the match does not. */
export const ROUTE_CONDITION_NOT: i32 = 1
/** A field that is absent is matched as if it were empty. */
export const ROUTE_CONDITION_ABSENT_IS_EMPTY: i32 = 2
/** ON_NAMESPACE: requests through the gateway are from there as well. */
export const ROUTE_CONDITION_GATEWAY: i32 = 4

export const ON_PATH: i32 = 1
export const ON_METHOD: i32 = 2
export const ON_SCHEME: i32 = 3
export const ON_AUTHORITY: i32 = 4
export const ON_FIELD: i32 = 5
export const ON_QUERY_PARAMETER: i32 = 6
export const ON_PORT: i32 = 7
/** The caller's principal; requests through the gateway have none. */
export const ON_PRINCIPAL: i32 = 8
/** The caller's namespace; that of the gateway is the root namespace. */
export const ON_NAMESPACE: i32 = 9

// ---- Text match: u32 length, u32 TEXT_*, u32 length of the text, then the text, or the automaton (layout/automaton.ts) ----

export const TEXT_MATCH_LENGTH: i32 = 0
export const TEXT_MATCH_FORM: i32 = 4
export const TEXT_MATCH_SIZE: i32 = 8
export const TEXT_MATCH_TEXT: i32 = 12

/** Any text, also the empty one, as long as there is one. */
export const TEXT_PRESENT: i32 = 0
export const TEXT_EXACT: i32 = 1
export const TEXT_PREFIX: i32 = 2
/** The same without regard to the case of ASCII; the text is in lower case. */
export const TEXT_EXACT_ANY_CASE: i32 = 3
export const TEXT_PREFIX_ANY_CASE: i32 = 4
export const TEXT_AUTOMATON: i32 = 5

// ---- Action ----

export const ACTION_LENGTH: i32 = 0
/** u32 ACTION_*. */
export const ACTION_KIND: i32 = 4
/** u32 requests out of FAULT_SCALE that are delayed, that are aborted; u32 status of the abort. */
export const ACTION_DELAYED: i32 = 8
export const ACTION_ABORTED: i32 = 12
export const ACTION_ABORT_STATUS: i32 = 16
/** u32 offset of the CORS block. */
export const ACTION_CORS: i32 = 20
/** u32 offsets of operations on the request's and the response's fields. */
export const ACTION_REQUEST_FIELDS: i32 = 24
export const ACTION_RESPONSE_FIELDS: i32 = 28
// ACTION_FORWARD: u32 offset of the rewrite; u32 number of destinations, u32 offset of the first, u32 sum of their weights;
// u32 number of mirrors, u32 offset of u32 for each: requests out of FAULT_SCALE that are mirrored
export const ACTION_REWRITE: i32 = 32
export const ACTION_DESTINATIONS: i32 = 36
export const ACTION_FIRST_DESTINATION: i32 = 40
export const ACTION_WEIGHTS: i32 = 44
export const ACTION_MIRRORS: i32 = 48
export const ACTION_FIRST_MIRROR: i32 = 52
// ACTION_REDIRECT: u32 status; texts: scheme, authority, ":port", path; each empty where the request's own stays
export const REDIRECT_STATUS: i32 = 32
export const REDIRECT_SCHEME: i32 = 36
export const REDIRECT_AUTHORITY: i32 = 44
export const REDIRECT_PORT: i32 = 52
export const REDIRECT_PATH: i32 = 60
/** u32: 1 where the port is the one at which the request came. */
export const REDIRECT_OWN_PORT: i32 = 68
// ACTION_ANSWER: u32 status, the body as text
export const ANSWER_STATUS: i32 = 32
export const ANSWER_BODY: i32 = 36

export const ACTION_FORWARD: i32 = 1
export const ACTION_REDIRECT: i32 = 2
export const ACTION_ANSWER: i32 = 3

/** Istio's percentages are drawn out of so many, as in Envoy. */
export const FAULT_SCALE: i32 = 1000000

// ---- Destination: u32 length, u32 weight, u32 1 where it is another function, u32 offsets of operations on fields ----

export const DESTINATION_LENGTH: i32 = 0
export const DESTINATION_WEIGHT: i32 = 4
export const DESTINATION_OTHER: i32 = 8
export const DESTINATION_REQUEST_FIELDS: i32 = 12
export const DESTINATION_RESPONSE_FIELDS: i32 = 16

// ---- Operations on fields: u32 length, u32 number, then for each u32 length, u32 OPERATION_*, name and value as texts ----

export const OPERATIONS_COUNT: i32 = 4
export const OPERATIONS_FIRST: i32 = 8

export const OPERATION_LENGTH: i32 = 0
export const OPERATION_KIND: i32 = 4
export const OPERATION_NAME: i32 = 8
export const OPERATION_VALUE: i32 = 16

export const OPERATION_SET: i32 = 1
export const OPERATION_ADD: i32 = 2
export const OPERATION_REMOVE: i32 = 3
/** The value is the authority to send on. */
export const OPERATION_AUTHORITY: i32 = 4

// ---- Rewrite: u32 length; texts: uri, authority; u32 offset of a searching automaton, u32 number of pieces, u32 offset of
// the first; a piece is u32 length, u32 group or PIECE_TEXT, a text ----

export const REWRITE_URI: i32 = 4
export const REWRITE_AUTHORITY: i32 = 12
export const REWRITE_AUTOMATON: i32 = 20
export const REWRITE_PIECES: i32 = 24
export const REWRITE_FIRST_PIECE: i32 = 28

export const PIECE_LENGTH: i32 = 0
export const PIECE_GROUP: i32 = 4
export const PIECE_VALUE: i32 = 8
export const PIECE_TEXT: i32 = -1

// ---- CORS: u32 length, u32 CORS_* bits, u32 number of origins, u32 offset of the first (text matches); texts: methods,
// headers, exposed headers, max-age, each empty where it is not told ----

export const CORS_BITS: i32 = 4
export const CORS_ORIGINS: i32 = 8
export const CORS_FIRST_ORIGIN: i32 = 12
export const CORS_METHODS: i32 = 16
export const CORS_HEADERS: i32 = 24
export const CORS_EXPOSED: i32 = 32
export const CORS_MAX_AGE: i32 = 40

export const CORS_CREDENTIALS: i32 = 1
/** A preflight of an origin that is not listed is answered here, without any permission. */
export const CORS_ANSWERS_OTHERS: i32 = 2
