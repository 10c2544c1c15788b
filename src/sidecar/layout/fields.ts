// Ids of the field names that the sidecar itself interprets; every other name has id 0 (FIELD_OTHER).
// The names are listed in the same order in field-names.ts. An id is below 64, so that a set of names is one u64 mask.

export const FIELD_OTHER: i32 = 0
export const FIELD_HOST: i32 = 1
export const FIELD_CONTENT_LENGTH: i32 = 2
export const FIELD_TRANSFER_ENCODING: i32 = 3
export const FIELD_CONNECTION: i32 = 4
export const FIELD_KEEP_ALIVE: i32 = 5
export const FIELD_PROXY_CONNECTION: i32 = 6
export const FIELD_TE: i32 = 7
export const FIELD_TRAILER: i32 = 8
export const FIELD_UPGRADE: i32 = 9
export const FIELD_EXPECT: i32 = 10
export const FIELD_HTTP2_SETTINGS: i32 = 11
export const FIELD_PROXY_AUTHENTICATE: i32 = 12
export const FIELD_PROXY_AUTHORIZATION: i32 = 13
export const FIELD_PROXY_AUTHENTICATION_INFO: i32 = 14
export const FIELD_X_FORWARDED_FOR: i32 = 15
export const FIELD_X_FORWARDED_PROTO: i32 = 16
export const FIELD_X_FORWARDED_CLIENT_CERT: i32 = 17
export const FIELD_X_REQUEST_ID: i32 = 18
export const FIELD_FORWARDED: i32 = 19
export const FIELD_TRACEPARENT: i32 = 20
export const FIELD_TRACESTATE: i32 = 21
export const FIELD_B3: i32 = 22
export const FIELD_X_B3_TRACEID: i32 = 23
export const FIELD_X_B3_SPANID: i32 = 24
export const FIELD_X_B3_PARENTSPANID: i32 = 25
export const FIELD_X_B3_SAMPLED: i32 = 26
export const FIELD_X_B3_FLAGS: i32 = 27
export const FIELD_AUTHORIZATION: i32 = 28
export const FIELD_WWW_AUTHENTICATE: i32 = 29
export const FIELD_AUTHENTICATION_INFO: i32 = 30
export const FIELD_COOKIE: i32 = 31
export const FIELD_SET_COOKIE: i32 = 32
export const FIELD_CACHE_CONTROL: i32 = 33
export const FIELD_PRAGMA: i32 = 34
export const FIELD_RANGE: i32 = 35
export const FIELD_MAX_FORWARDS: i32 = 36
export const FIELD_CONTENT_ENCODING: i32 = 37
export const FIELD_CONTENT_TYPE: i32 = 38
export const FIELD_CONTENT_RANGE: i32 = 39
export const FIELD_USER_AGENT: i32 = 40
export const FIELD_X_FORWARDED_HOST: i32 = 41
export const FIELD_X_FORWARDED_PORT: i32 = 42
export const FIELD_IF_MATCH: i32 = 43
export const FIELD_IF_NONE_MATCH: i32 = 44
export const FIELD_IF_MODIFIED_SINCE: i32 = 45
export const FIELD_IF_UNMODIFIED_SINCE: i32 = 46
export const FIELD_IF_RANGE: i32 = 47
export const FIELD_AGE: i32 = 48
export const FIELD_DATE: i32 = 49
export const FIELD_EXPIRES: i32 = 50
export const FIELD_LOCATION: i32 = 51
export const FIELD_RETRY_AFTER: i32 = 52
export const FIELD_VARY: i32 = 53
export const FIELD_WARNING: i32 = 54
/** Any name that starts with `x-mayfly-` or `x-envoy-`: fields of the mesh's own, which nobody else may set. */
export const FIELD_INTERNAL: i32 = 63

/** Multiplier that sends the hashes of all names above to different slots of a table of 128: (hash * it) >>> 25. */
export const FIELD_SLOT_MULTIPLIER: u32 = 514207
