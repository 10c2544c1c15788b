import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { EngineContext } from './engine-context.ts'
import type { EngineNode } from './engine-node.ts'
import { PROTOCOLS } from './node-link.ts'
import { functionOfServerName } from './server-name.ts'
import { readPeer, type TlsPeer } from './tls-peer.ts'

/** First byte of a TLS record with a handshake (RFC 8446 5.1). */
const HANDSHAKE = 0x16
/** How long a session may be resumed, in seconds; its certificates are looked at each time. */
const SESSION_S = 3_600

export interface NodeListenerEvents {
  /** A connection of another node's engine: who calls, and which function ("namespace/name"). */
  proved(socket: TLSSocket, peer: TlsPeer, callee: string): void
  /** A connection whose peer proves nothing. */
  plaintext(socket: Socket): void
}

/** What arrives at a node's own address: TLS 1.3 with a certificate on both sides, or plaintext, told apart by the first byte. */
export class NodeListener {
  readonly #engine: EngineContext
  readonly #node: EngineNode
  readonly #events: NodeListenerEvents
  readonly #server: Server

  constructor(engine: EngineContext, node: EngineNode, events: NodeListenerEvents) {
    this.#engine = engine
    this.#node = node
    this.#events = events
    this.#server = createServer({
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
      ALPNProtocols: PROTOCOLS,
      allowHalfOpen: true,
      handshakeTimeout: engine.mesh.limits.headTimeoutMs,
      ticketKeys: node.ticketKeys,
      sessionTimeout: SESSION_S,
      // The node's engines take each other's sessions.
      sessionIdContext: 'mayfly',
      SNICallback: (name, done) => void this.#present(name, done),
    })
    node.ticketKeysChanged = (keys) => this.#server.setTicketKeys(keys)
    this.#server.on('secureConnection', (socket) => this.#secured(socket))
    this.#server.on('tlsClientError', (_, socket) => {
      engine.counters.tlsHandshakesFailed++
      socket.destroy()
    })
  }

  /** Takes a connection of which nothing has been read. */
  accept(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), this.#engine.mesh.limits.headTimeoutMs)
    const give = () => {
      clearTimeout(timer)
      socket.destroy()
    }
    socket.on('error', give)
    socket.once('end', give)
    socket.once('close', give)
    socket.once('data', (first: Buffer) => {
      clearTimeout(timer)
      socket.pause()
      for (const event of ['error', 'end', 'close']) socket.off(event, give)
      socket.unshift(first)
      if (first[0] === HANDSHAKE) this.#server.emit('connection', socket)
      else {
        this.#events.plaintext(socket)
        socket.resume()
      }
    })
  }

  /** The callee's certificate, for a function that this engine knows. */
  async #present(name: string, done: (error: Error | null, context?: never) => void): Promise<void> {
    const key = functionOfServerName(name)
    if (key !== null) await this.#engine.lookup.byKey(key)
    const entry = key === null ? undefined : this.#engine.functions.get(key)
    const identity = entry ? await this.#node.identities.obtain(entry.slice.principal) : null
    if (identity) done(null, identity.context as never)
    else done(new Error(`no function here is named ${name}`))
  }

  #secured(socket: TLSSocket): void {
    const { counters } = this.#engine
    const reading = readPeer(socket.getPeerX509Certificate(), this.#node.identities.trust, Date.now())
    const callee = functionOfServerName(typeof socket.servername === 'string' ? socket.servername : '')
    if (!reading.ok || callee === null) {
      counters.tlsPeersRefused++
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    counters[socket.isSessionReused() ? 'tlsResumed' : 'tlsHandshakes']++
    this.#events.proved(socket, reading.peer, callee)
  }
}
