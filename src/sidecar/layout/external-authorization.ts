// The EXTERNAL_AUTHORIZATION section: the CUSTOM AuthorizationPolicies of one function, and what its check service is told
// and may say. Offsets count from the section's first byte, every block begins on a multiple of 4; a reference is u32 offset,
// u32 length, a list the u32 offset of a string list (string-list.ts) of lower-case names, 0 where there is none.
// The policies are laid out as in authorization.ts, all of ACTION_CUSTOM.

/** 1: a check that fails lets the request through. */
export const EXTERNAL_FAIL_OPEN: i32 = 0
/** The status for the client when a check fails. */
export const EXTERNAL_STATUS: i32 = 4
/** Reference: the provider's name. */
export const EXTERNAL_PROVIDER: i32 = 8
/** Reference: what stands before the path in a check. */
export const EXTERNAL_PATH_PREFIX: i32 = 16
/** Reference: whole lines "name: value" CRLF that every check carries. */
export const EXTERNAL_LINES: i32 = 24
/** List: the names in those lines; the client's fields of these names are not sent. */
export const EXTERNAL_LINE_NAMES: i32 = 32
/** List: the client's fields that a check carries. */
export const EXTERNAL_ASKED: i32 = 36
/** List: fields of the answer that the function gets. */
export const EXTERNAL_TO_UPSTREAM: i32 = 40
/** List: fields of a refusal that the client gets; none: all. */
export const EXTERNAL_ON_DENY: i32 = 44
/** List: fields of a permission that the client gets. */
export const EXTERNAL_ON_ALLOW: i32 = 48
export const EXTERNAL_POLICIES: i32 = 52
export const EXTERNAL_FIRST_POLICY: i32 = 56
export const EXTERNAL_HEADER: i32 = 60

// ---- The key of a NEED_EXTERNAL: method, SP, target, CRLF, then lines "name: value" CRLF, names in lower case ----

// ---- Its answer: u32 status (0: the check failed), u32 CHECK_*, u32 number of fields, u32 length of the body, then for
// ---- each field u16 length of its name (lower case), u16 length of its value, name and value, then the body

export const CHECK_STATUS: i32 = 0
export const CHECK_FAILURE: i32 = 4
export const CHECK_FIELDS: i32 = 8
export const CHECK_BODY: i32 = 12
export const CHECK_HEADER: i32 = 16

/** Why a check failed. */
export const CHECK_UNREACHABLE: i32 = 1
export const CHECK_TIMED_OUT: i32 = 2
/** The answer is no acceptable HTTP. */
export const CHECK_MALFORMED: i32 = 3
/** The answer is larger than is accepted. */
export const CHECK_TOO_LARGE: i32 = 4
/** So many checks are under way that this one was not asked. */
export const CHECK_OVERFLOW: i32 = 5
/** Status 5xx. */
export const CHECK_SERVER_ERROR: i32 = 6
