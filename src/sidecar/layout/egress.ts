// The EGRESS section: what a Sidecar resource says of one function, both ways. Offsets count from the section's first
// byte.
//
//   u32 EGRESS_OPEN or EGRESS_LISTED
//   u32 offset and u32 length of the function's own name ("namespace/name")
//   u32 offset and u32 length of the name of the Sidecar that lists the callees ("namespace/name")
//   u32 offset of a string list (string-list.ts) of callees as "namespace/name"; 0 where none is listed
//   u32 number of accepted ports, u32 offset of the first (u32 each)

export const EGRESS_MODE: i32 = 0
export const EGRESS_OWN: i32 = 4
export const EGRESS_OWN_LENGTH: i32 = 8
export const EGRESS_SIDECAR: i32 = 12
export const EGRESS_SIDECAR_LENGTH: i32 = 16
export const EGRESS_CALLEES: i32 = 20
export const EGRESS_PORTS: i32 = 24
export const EGRESS_FIRST_PORT: i32 = 28
export const EGRESS_HEADER: i32 = 32

/** No Sidecar restricts the function: the callees' own policies decide. */
export const EGRESS_OPEN: i32 = 0
/** Only the callees that the Sidecar lists may be called. */
export const EGRESS_LISTED: i32 = 1
