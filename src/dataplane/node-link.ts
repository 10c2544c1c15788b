import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { EngineCounters } from './engine-counters.ts'
import type { Identity, NodeIdentities } from './node-identities.ts'
import type { NodeAddress } from './node-messages.ts'
import { type PeerProblem, peerProblem, readPeer, type TlsPeer } from './tls-peer.ts'
import type { UpstreamConnection } from './upstream-connection.ts'

/** What engines of nodes speak inside TLS. */
export const PROTOCOLS = ['http/1.1']

/** The part of what is left of its certificates' lives that a connection is used for. */
const USED_PART = 7 / 8

/** Who calls whom, on which node. */
export interface LinkEnds {
  caller: string
  /** The callee's principal, and the name by which its node knows it. */
  callee: string
  serverName: string
  node: NodeAddress
}

/** Buffers for reading, as node:net has them. */
export interface ReadInto {
  buffer: Buffer
  callback(length: number): boolean
}

/** What a session is resumed by: the peer that it was made with, and the own certificate, which the server still knows. */
interface Ticket {
  session: Buffer
  peer: TlsPeer
  own: Identity
}

/** TLS 1.3 connections from one caller to one callee on one node. Only they share sessions: a resumed one proves the same two. */
export class NodeLink {
  readonly #ends: LinkEnds
  readonly #identities: NodeIdentities
  readonly #counters: EngineCounters
  /** Used for one connection after the other: a server of OpenSSL sends none with a resumption. */
  #ticket: Ticket | null = null
  /** Kept-alive connections without a request, the most recently used last. */
  readonly idle: UpstreamConnection[] = []
  /** No connection is kept any more. */
  gone = false
  /** performance.now() of the last use. */
  usedAt = 0

  constructor(ends: LinkEnds, identities: NodeIdentities, counters: EngineCounters) {
    this.#ends = ends
    this.#identities = identities
    this.#counters = counters
  }

  /** The caller's identity, which a connection needs; null where control does not give it. */
  obtainIdentity(): Identity | Promise<Identity | null> {
    return this.#identities.obtain(this.#ends.caller)
  }

  /**
   * Begins a connection; `proved` hears once whether the callee is who it has to be, and until when (ms since the epoch) it
   * may be used: well before either certificate expires.
   */
  connect(onread: ReadInto, proved: (problem: PeerProblem | null, until: number) => void): TLSSocket {
    const { node, serverName } = this.#ends
    const identity = this.#identities.get(this.#ends.caller)
    const ticket = identity && this.#ticketFor(identity)
    const options: ConnectionOptions & { onread: ReadInto } = {
      host: node.host,
      port: node.port,
      ...(identity && { secureContext: identity.context }),
      servername: serverName,
      ALPNProtocols: PROTOCOLS,
      minVersion: 'TLSv1.3',
      ...(ticket && { session: ticket.session }),
      // The certificate says SPIFFE IDs, not host names.
      checkServerIdentity: () => undefined,
      onread,
    }
    const socket = connect(options)
    socket.setNoDelay(true)
    let peer: TlsPeer | null = null
    socket.on('secureConnect', () => {
      const reading = this.#read(socket, ticket?.peer ?? null)
      if (reading.ok) peer = reading.peer
      this.#counters[socket.isSessionReused() ? 'tlsResumed' : 'tlsHandshakes']++
      if (!reading.ok) this.#counters.tlsPeersRefused++
      if (!reading.ok) return proved(reading.problem, 0)
      const now = Date.now()
      const expires = Math.min(identity?.notAfter ?? 0, reading.peer.notAfter)
      proved(null, now + (expires - now) * USED_PART)
    })
    socket.on('session', (session: Buffer) => {
      if (peer === null || identity === null) return
      this.#ticket = { session, peer, own: identity }
    })
    return socket
  }

  /** Forgets sessions and ends idle connections; those that are in use end with their requests. */
  close(): void {
    this.gone = true
    this.#ticket = null
    for (const connection of this.idle.splice(0)) connection.destroy()
  }

  /** After a resumption the peer is the one of the first handshake: the ticket's key was agreed on with it. */
  #read(socket: TLSSocket, resumed: TlsPeer | null): ReturnType<typeof readPeer> {
    const now = Date.now()
    const { trust } = this.#identities
    if (socket.isSessionReused() && resumed !== null) {
      const problem = peerProblem(resumed, trust, now)
      return problem === null ? { ok: true, peer: resumed } : { ok: false, problem }
    }
    const reading = readPeer(socket.getPeerX509Certificate(), trust, now)
    if (reading.ok && reading.peer.principal !== this.#ends.callee)
      return { ok: false, problem: 'other-principal' }
    return reading
  }

  /** Only for the same certificate: the server would take the connection for one with that of the first handshake. */
  #ticketFor({ notAfter, epoch }: Identity): Ticket | null {
    const ticket = this.#ticket
    if (ticket === null || ticket.own.notAfter !== notAfter || ticket.own.epoch !== epoch) return null
    return peerProblem(ticket.peer, this.#identities.trust, Date.now()) === null ? ticket : null
  }
}

/** Links kept at once; beyond it the one that has been unused for longest is closed. */
const MOST_LINKS = 4_096
/** A link without a connection is forgotten after this time, in milliseconds. */
const UNUSED_MS = 600_000

/** The links of one engine, made when they are first used. */
export class NodeLinks {
  readonly #identities: NodeIdentities
  readonly #counters: EngineCounters
  /** The most recently used last. */
  readonly #links = new Map<string, NodeLink>()

  constructor(identities: NodeIdentities, counters: EngineCounters) {
    this.#identities = identities
    this.#counters = counters
  }

  /** The link between these ends. */
  take(ends: LinkEnds): NodeLink {
    const { node } = ends
    const key = `${ends.caller} ${ends.callee} ${ends.serverName} ${node.name} ${node.host}:${node.port}`
    const link = this.#links.get(key) ?? new NodeLink(ends, this.#identities, this.#counters)
    this.#links.delete(key)
    this.#links.set(key, link)
    link.usedAt = performance.now()
    if (this.#links.size > MOST_LINKS) this.#forgetOldest()
    return link
  }

  /** Ends connections that have been idle since before `deadline` (performance.now()), and forgets unused links. */
  closeIdle(deadline: number): void {
    const unused = performance.now() - UNUSED_MS
    for (const [key, link] of this.#links) {
      while (link.idle[0] && link.idle[0].idleSince < deadline) link.idle[0].destroy()
      if (link.idle.length === 0 && link.usedAt < unused) this.#links.delete(key)
    }
  }

  /** Closes all; who needs one again gets a new one. */
  close(): void {
    for (const link of this.#links.values()) link.close()
    this.#links.clear()
  }

  #forgetOldest(): void {
    const [key, link] = this.#links.entries().next().value!
    this.#links.delete(key)
    link.close()
    this.#counters.nodeLinksDropped++
  }
}
