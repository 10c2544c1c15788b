// The EGRESS section: what a Sidecar resource says of one function, both ways. Offsets count from the section's first
// byte.
//
//   u32 EGRESS_OPEN or EGRESS_LISTED
//   u32 offset and u32 length of the function's own name ("namespace/name")
//   u32 offset and u32 length of the name of the Sidecar that lists the callees ("namespace/name")
//   u32 number of listeners, u32 offset of the first
//   u32 number of accepted ports, u32 offset of the first (u32 each)
//
// A listener is u32 length of the whole block (a multiple of 4), u32 port (0: every port that no other listener has),
// then a string list (string-list.ts) of callees as "namespace/name".

export const EGRESS_MODE: i32 = 0
export const EGRESS_OWN: i32 = 4
export const EGRESS_OWN_LENGTH: i32 = 8
export const EGRESS_SIDECAR: i32 = 12
export const EGRESS_SIDECAR_LENGTH: i32 = 16
export const EGRESS_LISTENERS: i32 = 20
export const EGRESS_FIRST_LISTENER: i32 = 24
export const EGRESS_PORTS: i32 = 28
export const EGRESS_FIRST_PORT: i32 = 32
export const EGRESS_HEADER: i32 = 36

/** No Sidecar restricts the function: the callees' own policies decide. */
export const EGRESS_OPEN: i32 = 0
/** Only the callees that a listener lists may be called. */
export const EGRESS_LISTED: i32 = 1

export const LISTENER_LENGTH: i32 = 0
export const LISTENER_PORT: i32 = 4
export const LISTENER_HEADER: i32 = 8
