// What control tells an engine of nodes: who it is, whose certificates count, and which instances it hosts. In a mesh of
// one node none of it is said.

/** A workload's certificate and its key, as PEM. */
export interface IdentitySlice {
  principal: string
  epoch: number
  /** The leaf first. */
  chain: string
  /** PKCS #8. */
  key: string
  /** Milliseconds since the epoch of time. */
  notAfter: number
}

/** Whose certificates count. */
export interface TrustSlice {
  /** The mesh's own trust domain and its aliases. */
  domains: string[]
  /** By which certificates of an epoch are verified, as PEM; the epoch in which new ones are issued comes last. */
  anchors: { epoch: number; certificate: string }[]
  /** 48 bytes that this node's engines share: TLS sessions with one may be resumed with another. */
  ticketKeys: Uint8Array
}

/** The node of which the engine is a part. */
export interface NodeSlice {
  name: string
  /** Instances may be on other nodes: what protects a function is judged there, its client's side here. */
  forwards: boolean
  /** The principal of the mesh's gateways, which speak for clients without identity. */
  gatewayPrincipal: string
  trust: TrustSlice
}

/** Where a node's engines take what other nodes' engines send. */
export interface NodeAddress {
  name: string
  host: string
  port: number
}

/** An instance on the engine's own node. */
export interface HostedSlice {
  id: string
  host: string
  port: number
}
