// The AUTHORIZATION section: the AuthorizationPolicies that apply to one function. Offsets count from the section's
// first byte; everything else lies in the order in which it is judged, each block with its length, so that what does
// not matter is skipped.
//
//   u32 AUTHORIZATION_DEFAULT_*, u32 number of policies
//   policies, in the order AUDIT, DENY, ALLOW:
//     u32 length of the whole block, u32 ACTION_*, u32 number of rules, u32 number of the first rule among all of the
//     function's rules, u32 offset of the name in the block, u32 its length ("namespace/name"), then the rules, then the name
//   rule:
//     u32 length of the whole block, u16 number of sources, u16 number of operations,
//     then groups: the sources, the operations, and one group of conditions that must hold besides
//   group (holds if all its conditions hold):
//     u32 length of the whole block, u32 number of conditions, conditions
//   condition:
//     u32 length of the whole block, u16 ATTRIBUTE_*, u16 CONDITION_* bits, then the subject, then the values
//
// Every block is a multiple of 4 bytes long. A condition's subject is u32 hash, u32 length, bytes for a header (its
// name in lower case); u32 length, bytes for a claim (its path, see claims.ts); nothing for all others. Its values are
// a string list (string-list.ts), for IP attributes u32 count and IP blocks, for ports u32 count and u32 each, for the
// request's principal u32 count and for each two string lists, one for the issuer and one for the subject, each after a
// u32 with its length.

export const AUTHORIZATION_DEFAULT: i32 = 0
export const AUTHORIZATION_POLICIES: i32 = 4
export const AUTHORIZATION_HEADER: i32 = 8

/** What holds for a function to which no ALLOW policy applies. */
export const AUTHORIZATION_DEFAULT_DENY: i32 = 0
export const AUTHORIZATION_DEFAULT_ALLOW: i32 = 1

export const AUTHZ_POLICY_LENGTH: i32 = 0
export const AUTHZ_POLICY_ACTION: i32 = 4
export const AUTHZ_POLICY_RULES: i32 = 8
export const AUTHZ_POLICY_FIRST_RULE: i32 = 12
export const AUTHZ_POLICY_NAME: i32 = 16
export const AUTHZ_POLICY_NAME_LENGTH: i32 = 20
export const AUTHZ_POLICY_HEADER: i32 = 24

/** Noted, without effect on the outcome. */
export const ACTION_AUDIT: i32 = 0
export const ACTION_DENY: i32 = 1
export const ACTION_ALLOW: i32 = 2
/** Its check service decides (external-authorization.ts); never in this section. */
export const ACTION_CUSTOM: i32 = 3

export const RULE_LENGTH: i32 = 0
export const RULE_SOURCES: i32 = 4
export const RULE_OPERATIONS: i32 = 6
export const RULE_HEADER: i32 = 8

export const GROUP_LENGTH: i32 = 0
export const GROUP_CONDITIONS: i32 = 4
export const GROUP_HEADER: i32 = 8

export const CONDITION_LENGTH: i32 = 0
export const CONDITION_ATTRIBUTE: i32 = 4
export const CONDITION_BITS: i32 = 6
export const CONDITION_HEADER: i32 = 8

/** The condition holds if no value matches: notValues, notPaths and the like. */
export const CONDITION_NOT: i32 = 1

export const ATTRIBUTE_METHOD: i32 = 1
export const ATTRIBUTE_PORT: i32 = 2
export const ATTRIBUTE_PRINCIPAL: i32 = 3
export const ATTRIBUTE_NAMESPACE: i32 = 4
export const ATTRIBUTE_PATH: i32 = 5
/** The authority with its port, compared without regard to case. */
export const ATTRIBUTE_HOST: i32 = 6
/** The same with regard to case: request.headers[host]. */
export const ATTRIBUTE_AUTHORITY: i32 = 7
export const ATTRIBUTE_SOURCE_IP: i32 = 8
export const ATTRIBUTE_REMOTE_IP: i32 = 9
export const ATTRIBUTE_DESTINATION_IP: i32 = 10
export const ATTRIBUTE_HEADER: i32 = 11
export const ATTRIBUTE_SNI: i32 = 12
export const ATTRIBUTE_CLAIM: i32 = 13
export const ATTRIBUTE_REQUEST_PRINCIPAL: i32 = 14

// ---- IP block: 16 bytes of mask, 16 bytes of network, both in network order, u32 family, u32 spare ----

export const BLOCK_MASK: i32 = 0
export const BLOCK_NETWORK: i32 = 16
export const BLOCK_FAMILY: i32 = 32
export const BLOCK_SIZE: i32 = 40

/** An IPv4 block (as ::ffff:a.b.c.d) holds IPv4 addresses only, an IPv6 block IPv6 addresses only. */
export const FAMILY_IPV4: i32 = 4
export const FAMILY_IPV6: i32 = 6
