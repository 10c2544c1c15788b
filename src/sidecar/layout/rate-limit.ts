// The RATE_LIMIT section: the limits of one function's RateLimitPolicies, and the answer to a NEED_QUOTA.
//
//   u32 number of limits, then for each a block (offsets count from the block's first byte):
//     u32 length of the whole block, u32 LIMIT_FLAG_* bits,
//     u32 offset and u32 length of its name in full ("shop/cart-limits per-caller")
//     u32 offset and u32 length of its quoted name for RateLimit ("\"per-caller\"")
//     u32 offset and u32 length of its item for RateLimit-Policy ("\"per-caller\";q=100;w=60")
//     u32 number of key parts, u32 offset of the first
//     u32 number of rules of which one must match (0: every request counts), u32 offset of the first (authorization.ts)
//   key part:
//     u32 length of the whole block, u32 KEY_*, then for
//       KEY_HEADER: u32 hash, u32 length, bytes of the field's name in lower case
//       KEY_CLAIM: u32 length, bytes of the claim's path (claims.ts)
//       KEY_TEMPLATES: u32 number of string lists (string-list.ts), each after a u32 with its length
//       KEY_CLIENT_ADDRESS: u32 bits of an IPv4 address, u32 bits of an IPv6 address that count
//
// The key of the need: u32 number of limits that judge the request, then for each u32 its index in the section, u32 length of its
// descriptor, the descriptor, zero bytes to a multiple of 4. A descriptor is for each key part u8 1 and u32 length and bytes, or
// u8 0 where the request has no such thing. A value's first MOST_VALUE_BYTES count, with its length and a hash of the whole.
//
// The answer: for each of them, in the same order, u32 QUOTA_*, u32 requests that are left, u32 seconds until there are more, u32
// seconds after which a refused request may come again.

export const RATE_LIMIT_COUNT: i32 = 0
export const RATE_LIMIT_HEADER: i32 = 4

export const LIMIT_LENGTH: i32 = 0
export const LIMIT_FLAGS: i32 = 4
export const LIMIT_NAME: i32 = 8
export const LIMIT_NAME_LENGTH: i32 = 12
export const LIMIT_QUOTED: i32 = 16
export const LIMIT_QUOTED_LENGTH: i32 = 20
export const LIMIT_POLICY: i32 = 24
export const LIMIT_POLICY_LENGTH: i32 = 28
export const LIMIT_PARTS: i32 = 32
export const LIMIT_FIRST_PART: i32 = 36
export const LIMIT_RULES: i32 = 40
export const LIMIT_FIRST_RULE: i32 = 44
export const LIMIT_HEADER: i32 = 48

/** What the limit says is noted and has no effect. */
export const LIMIT_FLAG_DRY_RUN: i32 = 1
/** Requests pass where nobody can say whether there is quota. */
export const LIMIT_FLAG_ALLOW_UNAVAILABLE: i32 = 2

export const PART_LENGTH: i32 = 0
export const PART_KIND: i32 = 4
export const PART_HEADER: i32 = 8

/** The caller's principal; absent where the peer has no identity. */
export const KEY_CALLER: i32 = 1
export const KEY_CLAIM: i32 = 2
/** The field as the function will get it. */
export const KEY_HEADER: i32 = 3
/** Which of the templates is the first that the path follows. */
export const KEY_TEMPLATES: i32 = 4
export const KEY_METHOD: i32 = 5
/** The client's network, as trusted proxies tell its address. */
export const KEY_CLIENT_ADDRESS: i32 = 6

/** Most limits of one function, and most key parts of all of them: both are kept in scratch memory. */
export const MOST_FUNCTION_LIMITS: i32 = 16
export const MOST_FUNCTION_PARTS: i32 = 64
export const MOST_VALUE_BYTES: i32 = 1024

export const QUOTA_ANSWER_SIZE: i32 = 16
/** One request was taken from the limit. */
export const QUOTA_TAKEN: i32 = 0
/** The limit has nothing left. */
export const QUOTA_REFUSED: i32 = 1
/** Nobody can say what is left. */
export const QUOTA_UNAVAILABLE: i32 = 2
/** There was something left, and nothing was taken since another limit refuses the request. */
export const QUOTA_UNTOUCHED: i32 = 3
