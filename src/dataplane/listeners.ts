import { createServer, type Server, type Socket } from 'node:net'
import { DIRECTION_INGRESS, DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'
import type { EngineContext } from './engine-context.ts'
import type { ListenerRole } from './engine-messages.ts'
import { ClientConnection } from './http1/client-connection.ts'
import { ipBytes } from './ip-bytes.ts'

/** Connections that the kernel may hold before the engine accepts them. */
const BACKLOG = 4096

/** The addresses on which an engine accepts connections, and the connections that are open. */
export class Listeners {
  readonly #engine: EngineContext
  readonly #servers = new Map<string, { server: Server; role: ListenerRole }>()
  readonly #connections = new Set<ClientConnection>()
  #whenEmpty: (() => void) | null = null

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
      server.once('error', (error) => {
        this.#servers.delete(id)
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

  /** Accepts nothing more, ends idle connections and lets requests under way end; after `timeoutMs` the rest is cut. */
  async drain(timeoutMs: number): Promise<void> {
    for (const id of [...this.#servers.keys()]) this.unlisten(id)
    for (const connection of this.#connections) if (connection.idle) connection.close()
    if (this.#connections.size === 0) return
    const cut = setTimeout(() => {
      for (const connection of this.#connections) connection.socket.destroy()
    }, timeoutMs)
    await new Promise<void>((resolve) => {
      this.#whenEmpty = resolve
    })
    clearTimeout(cut)
  }

  #accept(socket: Socket, role: ListenerRole): void {
    const { counters, mesh } = this.#engine
    counters.connections++
    if (role.kind === 'spare' || this.#connections.size >= mesh.limits.maxConnections) {
      counters.connectionsRefused++
      socket.destroy()
      return
    }
    const facts = {
      direction: role.kind === 'gateway' ? DIRECTION_INGRESS : DIRECTION_OUTBOUND,
      peer: '',
      sourceIp: ipBytes(socket.remoteAddress ?? ''),
      sourcePort: socket.remotePort ?? 0,
      localIp: ipBytes(socket.localAddress ?? ''),
      localPort: socket.localPort ?? 0,
      tls: false,
    }
    const caller = role.kind === 'gateway' ? null : { key: role.caller }
    const connection = new ClientConnection(this.#engine, socket, facts, caller)
    this.#connections.add(connection)
    counters.connectionsOpen++
    socket.on('close', () => {
      this.#connections.delete(connection)
      counters.connectionsOpen--
      if (this.#connections.size === 0) this.#whenEmpty?.()
    })
  }
}
