// What the engine says of an attempt when its answer or its failure is judged, at IN_RETRY_PTR in a response phase; absent
// where the request's route has no retry policy. Little endian.

/** u32: FAILURE_*. */
export const RETRY_FAILURE: i32 = 0
/** u32: RETRY_MAY_* bits. */
export const RETRY_BITS: i32 = 4
/** u32: attempts after the first one that the policy allows. */
export const RETRY_ATTEMPTS: i32 = 8
/** u32: RETRY_ON_* bits. */
export const RETRY_CONDITIONS: i32 = 12
/** u32: number of statuses that are retried (RETRY_ON_STATUSES), each a u16 from RETRY_LIST on. */
export const RETRY_STATUSES: i32 = 16
export const RETRY_LIST: i32 = 20
/** Where the policy's own part begins. */
export const RETRY_POLICY: i32 = RETRY_ATTEMPTS

/** An answer has come. */
export const FAILURE_NONE: i32 = 0
/** No connection was made, so nothing of the request was sent. */
export const FAILURE_CONNECT: i32 = 1
/** The connection ended before an answer, and part of the request may have arrived. */
export const FAILURE_RESET: i32 = 2
/** The attempt took longer than it may. */
export const FAILURE_TIMEOUT: i32 = 3

/** The whole request is still held, and nothing of an answer went out. */
export const RETRY_MAY_REPEAT: i32 = 1
/** The budget of retries under way has room. */
export const RETRY_MAY_SPEND: i32 = 2

export const RETRY_ON_5XX: i32 = 1
export const RETRY_ON_GATEWAY_ERROR: i32 = 2
export const RETRY_ON_RESET: i32 = 4
export const RETRY_ON_RESET_BEFORE_REQUEST: i32 = 8
export const RETRY_ON_CONNECT_FAILURE: i32 = 16
export const RETRY_ON_RATE_LIMITED: i32 = 32
export const RETRY_ON_4XX: i32 = 64
export const RETRY_ON_STATUSES: i32 = 128
