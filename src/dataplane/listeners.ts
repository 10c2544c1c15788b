import { createServer, type Server, type Socket } from 'node:net'
import { DIRECTION_INBOUND, DIRECTION_INGRESS, DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'
import type { EngineContext } from './engine-context.ts'
import type { ListenerRole } from './engine-messages.ts'
import type { EngineNode } from './engine-node.ts'
import type { Origin } from './http1/admission.ts'
import { ClientConnection } from './http1/client-connection.ts'
import { ipBytes } from './ip-bytes.ts'
import { NodeListener } from './node-listener.ts'
import type { ConnectionFacts } from './sidecar.ts'
import type { TlsPeer } from './tls-peer.ts'

/** Connections that the kernel may hold before the engine accepts them. */
const BACKLOG = 4096

/** The addresses on which an engine accepts connections, and the connections that are open. */
export class Listeners {
  readonly #engine: EngineContext
  readonly #servers = new Map<string, { server: Server; role: ListenerRole }>()
  readonly #connections = new Map<ClientConnection, ListenerRole>()
  #nodeListener: NodeListener | null = null
  /** Connections at the node's own address, from their beginning to their end, and those that have said who they are. */
  #fromNodes = 0
  #servedNodes = 0
  #whenClosed: (() => void) | null = null

  constructor(engine: EngineContext) {
    this.#engine = engine
  }

  /** Resolves with the port once connections are accepted. Engines share a port (SO_REUSEPORT, where the system has it). */
  listen(id: string, host: string, port: number, role: ListenerRole): Promise<number> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket, listener.role),
    )
    const listener = { server, role }
    this.#servers.set(id, listener)
    return new Promise((resolve, reject) => {
      // Also for as long as it listens: a connection that can't be accepted (no file descriptor is left) must not end the engine.
      server.on('error', (error) => {
        if (!server.listening) this.#servers.delete(id)
        reject(error)
      })
      server.listen({ host, port, backlog: BACKLOG, reusePort: process.platform === 'linux' }, () => {
        const address = server.address()
        resolve(typeof address === 'object' && address ? address.port : port)
      })
    })
  }

  /** From now on, who connects there is somebody else. */
  assign(id: string, role: ListenerRole): void {
    const listener = this.#servers.get(id)
    if (listener) listener.role = role
  }

  /** Accepts no more there; connections that are open go on. */
  unlisten(id: string): void {
    this.#servers.get(id)?.server.close()
    this.#servers.delete(id)
  }

  /** Where `isMeant`: accepts nothing more, ends idle connections; resolves when requests under way there have ended. */
  async drain(isMeant: (role: ListenerRole) => boolean): Promise<void> {
    for (const [id, { role }] of this.#servers) if (isMeant(role)) this.unlisten(id)
    const left = () => [...this.#connections].filter(([, role]) => isMeant(role))
    for (const [connection] of left()) if (connection.idle) connection.close()
    while (left().length > 0) {
      await new Promise<void>((resolve) => {
        this.#whenClosed = resolve
      })
    }
  }

  /** Cuts what has not ended by itself in `ms`. */
  cutAfter(ms: number): void {
    const timer = setTimeout(() => {
      for (const connection of this.#connections.keys()) connection.socket.destroy()
    }, ms)
    timer.unref()
  }

  #accept(socket: Socket, role: ListenerRole): void {
    const { counters, mesh } = this.#engine
    counters.connections++
    const open = role.kind === 'node' ? this.#fromNodes : this.#connections.size - this.#servedNodes
    if (role.kind === 'spare' || open >= mesh.limits.maxConnections) {
      counters.connectionsRefused++
      socket.destroy()
      return
    }
    if (role.kind === 'node') return this.#acceptFromNode(socket)
    const direction = role.kind === 'gateway' ? DIRECTION_INGRESS : DIRECTION_OUTBOUND
    const origin: Origin =
      role.kind === 'gateway' ? { kind: 'outside' } : { kind: 'function', key: role.caller }
    this.#serve(socket, role, { ...addresses(socket), direction, peer: '', tls: false }, origin)
  }

  #acceptFromNode(socket: Socket): void {
    const { node } = this.#engine
    if (!node) return void socket.destroy()
    this.#nodeListener ??= new NodeListener(this.#engine, node, {
      proved: (secure, peer, callee) => {
        const facts = { ...addresses(secure), ...whoIs(peer, node), tls: false, forwarded: true }
        this.#serve(secure, { kind: 'node' }, facts, { kind: 'node', peer, callee })
      },
      plaintext: (plain) => {
        this.#engine.counters.plaintextAccepted++
        const facts = {
          ...addresses(plain),
          direction: DIRECTION_INBOUND,
          peer: '',
          tls: false,
          plaintext: true,
        }
        this.#serve(plain, { kind: 'node' }, facts, { kind: 'plaintext' })
      },
    })
    this.#fromNodes++
    socket.once('close', () => this.#fromNodes--)
    this.#nodeListener.accept(socket)
  }

  #serve(socket: Socket, role: ListenerRole, facts: ConnectionFacts, origin: Origin): void {
    const { counters } = this.#engine
    const connection = new ClientConnection(this.#engine, socket, facts, origin)
    this.#connections.set(connection, role)
    if (role.kind === 'node') this.#servedNodes++
    counters.connectionsOpen++
    socket.on('close', () => {
      this.#connections.delete(connection)
      if (role.kind === 'node') this.#servedNodes--
      counters.connectionsOpen--
      this.#whenClosed?.()
    })
  }
}

/** The gateway speaks for clients from outside, who have no identity (docs/decisions/0003), a node for those who prove none to it. */
function whoIs({ principal, hash }: TlsPeer, node: EngineNode) {
  switch (principal) {
    case node.gatewayPrincipal:
      return { direction: DIRECTION_INGRESS, peer: '' }
    case node.nodePrincipal:
      return { direction: DIRECTION_INBOUND, peer: '', plaintext: true }
    default:
      return { direction: DIRECTION_INBOUND, peer: principal, peerHash: hash }
  }
}

/** Both ends of a client's connection. */
function addresses(socket: Socket) {
  return {
    sourceIp: ipBytes(socket.remoteAddress ?? ''),
    sourcePort: socket.remotePort ?? 0,
    localIp: ipBytes(socket.localAddress ?? ''),
    localPort: socket.localPort ?? 0,
  }
}
