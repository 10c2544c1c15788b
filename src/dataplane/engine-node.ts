import type { EngineCounters } from './engine-counters.ts'
import type { FromEngine, FunctionSlice } from './engine-messages.ts'
import { NodeIdentities } from './node-identities.ts'
import { type NodeLink, NodeLinks } from './node-link.ts'
import type { IdentitySlice, NodeAddress, NodeSlice } from './node-messages.ts'
import { serverName } from './server-name.ts'
import { peerProblem, type TlsPeer } from './tls-peer.ts'

/** An engine's part in a mesh of several nodes: its identities, and its links to other nodes. */
export class EngineNode {
  #slice: NodeSlice
  readonly identities: NodeIdentities
  readonly #links: NodeLinks
  /** Hears of new ticket keys. */
  ticketKeysChanged: (keys: Buffer) => void = () => {}

  constructor(slice: NodeSlice, send: (message: FromEngine) => void, counters: EngineCounters) {
    this.#slice = slice
    this.identities = new NodeIdentities((principal) => send({ type: 'identity-wanted', principal }))
    this.identities.setTrust(slice.trust)
    this.#links = new NodeLinks(this.identities, counters)
  }

  /** Takes a new state of what holds for the node. */
  update(slice: NodeSlice): void {
    const epoch = this.identities.epoch
    this.#slice = slice
    this.identities.setTrust(slice.trust)
    // From here on connections are made in the new epoch, before the old one ends for those who accept them.
    if (this.identities.epoch !== epoch) this.#links.close()
    this.ticketKeysChanged(this.ticketKeys)
  }

  updateIdentities(upsert: readonly IdentitySlice[], remove: readonly string[]): void {
    this.identities.update(upsert, remove)
  }

  get name(): string {
    return this.#slice.name
  }

  get forwards(): boolean {
    return this.#slice.forwards
  }

  get gatewayPrincipal(): string {
    return this.#slice.gatewayPrincipal
  }

  /** By which a node passes on what clients without identity have sent to its own address. */
  get nodePrincipal(): string {
    return nodePrincipalOf(this.#slice.gatewayPrincipal)
  }

  get ticketKeys(): Buffer {
    return Buffer.from(this.#slice.trust.ticketKeys)
  }

  /** The link from a caller, by its principal, to a function on another node. */
  link(caller: string, { key, port, principal }: FunctionSlice, node: NodeAddress): NodeLink {
    return this.#links.take({ caller, callee: principal, serverName: serverName(key, port), node })
  }

  /** Whether a peer's certificate still counts; looked at for every request. */
  isTrusted(peer: TlsPeer, now: number): boolean {
    return peerProblem(peer, this.identities.trust, now) === null
  }

  closeIdle(deadline: number): void {
    this.#links.closeIdle(deadline)
  }

  close(): void {
    this.#links.close()
  }
}

/** The nodes' own principal stands beside the gateway's. */
export function nodePrincipalOf(gatewayPrincipal: string): string {
  return gatewayPrincipal.replace(/[^/]+$/, 'node')
}
