// A compiled policy: everything that one function's sidecar judges by, in one block of bytes that src/policy writes and
// the guest reads in place. Little endian. Addresses inside a policy are offsets from its first byte, so that the block
// may be copied anywhere. Text is bytes; a reference to text is u32 offset, u32 length.
//
//   u32 ABI_VERSION, u32 length of the whole block, u32 spare, u32 number of sections (SECTIONS),
//   then for each section: u32 offset (0: the section is absent), u32 length
//
// What is inside a section is laid down in the file of the same name in this folder.

export const POLICY_ABI: i32 = 0
export const POLICY_LENGTH: i32 = 4
export const POLICY_SECTIONS: i32 = 12
export const POLICY_TABLE: i32 = 16
export const SECTION_ENTRY: i32 = 8

export const SECTION_IDENTITY: i32 = 0
export const SECTION_HTTP: i32 = 1
export const SECTION_AUTHORIZATION: i32 = 2
export const SECTION_EGRESS: i32 = 3
export const SECTION_TRACING: i32 = 4
export const SECTION_ACCESS_LOG: i32 = 5
export const SECTION_AUTHENTICATION: i32 = 6
/** AuthorizationPolicies whose action is CUSTOM. */
export const SECTION_EXTERNAL_AUTHORIZATION: i32 = 7
export const SECTION_RATE_LIMIT: i32 = 8
export const SECTION_PEER_AUTHENTICATION: i32 = 9
export const SECTION_ROUTES: i32 = 10
export const SECTION_BREAKER: i32 = 11
export const SECTION_USER_POLICIES: i32 = 12
export const SECTION_OBSERVATION: i32 = 13
export const SECTIONS: i32 = 14
