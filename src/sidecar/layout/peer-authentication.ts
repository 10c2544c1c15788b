// The PEER_AUTHENTICATION section: which connections have to prove who calls.
//
//   u32 MTLS_* of ports that are not listed, u32 the deciding rule (NO_RULE: the mesh's default), u32 number of ports,
//   then for each port: u32 port, u32 MTLS_*, u32 the deciding rule

export const PEER_MODE: i32 = 0
export const PEER_RULE: i32 = 4
export const PEER_PORTS: i32 = 8
export const PEER_HEADER: i32 = 12
export const PEER_PORT: i32 = 0
export const PEER_PORT_MODE: i32 = 4
export const PEER_PORT_RULE: i32 = 8
export const PEER_PORT_SIZE: i32 = 12

/** Only callers that prove their identity. */
export const MTLS_STRICT: i32 = 0
/** Callers without identity as well. */
export const MTLS_PERMISSIVE: i32 = 1
/** No caller has an identity, as no connection is TLS. */
export const MTLS_DISABLE: i32 = 2
