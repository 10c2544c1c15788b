// The IDENTITY section of a compiled policy: whose sidecar it is. Offsets count from the section's first byte. Absent in
// the gateway's own policy, which judges for no function.

/** u32 offset, u32 length: the principal, `<trust domain>/ns/<namespace>/sa/<service account>`. */
export const IDENTITY_PRINCIPAL: i32 = 0
export const IDENTITY_PRINCIPAL_LEN: i32 = 4
/** u32 offset, u32 length: the namespace. */
export const IDENTITY_NAMESPACE: i32 = 8
export const IDENTITY_NAMESPACE_LEN: i32 = 12
/** u32 offset, u32 length: the function's name. */
export const IDENTITY_NAME: i32 = 16
export const IDENTITY_NAME_LEN: i32 = 20
export const IDENTITY_HEADER: i32 = 24
