// The USER_POLICIES section of a compiled policy, and what the sidecar and the engine say to each other about user policies
// (NEED_USER_POLICY). The sidecar reads the head; the engine runs the users' modules, which the sidecar never sees.
//
// The section: for each stage (STAGE_*) u32 offset of its block from the section's start, 0 where the stage has no policy.
// Block of a stage: u32 length, u32 attributes (bit i: slot SLOT_* i is wanted), u32 number of fields, u32 number of claims, u32 number of
// policies, u32 number of the first, then for each field u32 length of the block, u32 hash, u32 length, name in lower case, padded to 4;
// for each claim u32 length of the block, u32 length, path (claims.ts), padded to 4.

/** Before the built-in chain, behind it, and the response's. */
export const STAGE_BEFORE: i32 = 0
export const STAGE_AFTER: i32 = 1
export const STAGE_RESPONSE: i32 = 2
export const STAGES: i32 = 3
export const USER_POLICIES_HEADER: i32 = 12

export const STAGE_LENGTH: i32 = 0
export const STAGE_ATTRIBUTES: i32 = 4
export const STAGE_FIELDS: i32 = 8
export const STAGE_CLAIMS: i32 = 12
export const STAGE_POLICIES: i32 = 16
/** Number of the first policy that runs in a request's stage, among the function's; the others follow it. */
export const STAGE_FIRST: i32 = 20
export const STAGE_HEADER: i32 = 24

export const NAMED_LENGTH: i32 = 0
export const FIELD_NAME_HASH: i32 = 4
export const FIELD_NAME_LEN: i32 = 8
export const FIELD_NAME: i32 = 12
export const CLAIM_PATH_LEN: i32 = 4
export const CLAIM_PATH: i32 = 8

// ---- The need's key: what is asked ----
// u32 STAGE_*, u32 status (response), u32 DIRECTION_*, u32 number of slots, u64 time (ms), then for each slot u32 offset from the
// key's start and u32 length (SLOT_ABSENT: nothing there), then the bytes. Slots: SLOT_*, the stage's fields, its claims. A claim's
// bytes are its values one after the other, each u32 length and bytes, unaligned.

export const KEY_STAGE: i32 = 0
export const KEY_STATUS: i32 = 4
export const KEY_DIRECTION: i32 = 8
export const KEY_SLOTS: i32 = 12
export const KEY_TIME: i32 = 16
export const KEY_HEADER: i32 = 24
export const SLOT_SIZE: i32 = 8
export const SLOT_ABSENT: u32 = 0xffffffff

export const SLOT_METHOD: i32 = 0
export const SLOT_PATH: i32 = 1
export const SLOT_QUERY: i32 = 2
export const SLOT_AUTHORITY: i32 = 3
export const SLOT_PRINCIPAL: i32 = 4
export const SLOT_CLIENT_ADDRESS: i32 = 5
/** Response: what the engine gave as the answer's carry in the request phase. */
export const SLOT_CARRY: i32 = 6
export const SLOT_FIRST_FIELD: i32 = 7

// ---- The answer ----
// u32 1 deny or 0 allow, u32 status, u32 number of the policy that denies (counted among the function's), u32 offset of the text, u32 its
// length, u32 offset of the carry, u32 its length, u32 number of operations, then the operations: u32 length of the block, u8
// OPERATION_*, u8 1 on the response, u16 length of the name, u32 length of the value, name, value, padded to 4.

export const ANSWER_DENIES: i32 = 0
export const ANSWER_STATUS: i32 = 4
export const ANSWER_POLICY: i32 = 8
export const ANSWER_TEXT: i32 = 12
export const ANSWER_TEXT_LEN: i32 = 16
export const ANSWER_CARRY: i32 = 20
export const ANSWER_CARRY_LEN: i32 = 24
export const ANSWER_OPERATIONS: i32 = 28
export const ANSWER_SIZE: i32 = 32

export const APPLY_LENGTH: i32 = 0
export const APPLY_KIND: i32 = 4
export const APPLY_ON_RESPONSE: i32 = 5
export const APPLY_NAME_LEN: i32 = 6
export const APPLY_VALUE_LEN: i32 = 8
export const APPLY_NAME: i32 = 12
