import type { EndpointSlice } from './engine-messages.ts'
import type { NodeAddress } from './node-messages.ts'
import type { UpstreamConnection } from './upstream-connection.ts'

/** One instance, as this engine uses it. */
export interface Endpoint {
  readonly id: string
  readonly host: string
  readonly port: number
  /** "host:port", for logs. */
  readonly address: string
  /** The node on which it is; null: this engine's own. */
  node: NodeAddress | null
  slots: number
  inFlight: number
  /** Kept-alive connections without a request, the most recently used last. */
  readonly idle: UpstreamConnection[]
  /** Not in the set any more: its connections close as they become idle. */
  gone: boolean
  /** Refused a connection: not chosen before this time (performance.now()) while another one is there. */
  downUntil: number
}

export function newEndpoint(slice: EndpointSlice): Endpoint {
  const address = slice.host.includes(':') ? `[${slice.host}]:${slice.port}` : `${slice.host}:${slice.port}`
  const { id, host, port, node = null } = slice
  return { id, host, port, address, node, slots: 0, inFlight: 0, idle: [], gone: false, downUntil: 0 }
}

export function retire(endpoint: Endpoint): void {
  endpoint.gone = true
  for (const connection of endpoint.idle.splice(0)) connection.destroy()
}
