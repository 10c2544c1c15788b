import { connect, type Socket } from 'node:net'
import type { KeepAlive } from '../policy/traffic-settings.ts'
import type { Endpoint } from './endpoint-set.ts'
import type { NodeLink } from './node-link.ts'
import type { PeerProblem } from './tls-peer.ts'

/** The exchange that uses an upstream connection; the callbacks come only while it does. */
export interface UpstreamUser {
  upstreamConnected(): void
  upstreamBytes(bytes: Buffer): void
  upstreamDrained(): void
  /** No more bytes come: the instance closed, reset or refused the connection. */
  upstreamEnded(error: NodeJS.ErrnoException | null): void
}

export interface UpstreamLimits {
  maxIdleUpstreams: number
  upstreamIdleMs: number
  connectTimeoutMs: number
  /** How long one is kept idle, in milliseconds, instead of what holds for all. */
  idleMs?: number
  /** Requests that one connection may carry; null or left out: any number. */
  maxUses?: number | null
  /** How old a connection may become, in milliseconds; null or left out: of any age. */
  maxAgeMs?: number | null
  /** Probes of the kernel on a connection without traffic; null or left out: none. */
  keepAlive?: KeepAlive | null
}

/** Read into by every connection in turn: a buffer of its own for each read costs a twelfth of a request's CPU time. */
const READ_BUFFER = Buffer.allocUnsafeSlow(65_536)

/** A connection to one instance, or by a link to its node; used by one exchange at a time and kept alive in between. */
export class UpstreamConnection {
  readonly #pool: Pick<Endpoint, 'idle' | 'gone'>
  readonly socket: Socket
  /** Requests that it carried before the present one. */
  uses = 0
  connected = false
  idleSince = 0
  #idleMs: number | null = null
  readonly #since = performance.now()
  /** Date.now(): its certificates are not to expire while it is used. */
  #usableUntil = Number.POSITIVE_INFINITY
  #user: UpstreamUser | null
  #connectTimer: NodeJS.Timeout | null

  /** Takes an idle connection to `endpoint`, or of `link` where it is on another node, or opens one; `user` gets its events. */
  static take(
    endpoint: Endpoint,
    user: UpstreamUser,
    limits: UpstreamLimits,
    link: NodeLink | null = null,
  ): UpstreamConnection {
    const idle = takeUsable((link ?? endpoint).idle)
    if (!idle) return new UpstreamConnection(endpoint, user, limits, link)
    idle.uses++
    idle.#user = user
    return idle
  }

  private constructor(endpoint: Endpoint, user: UpstreamUser, limits: UpstreamLimits, link: NodeLink | null) {
    this.#pool = link ?? endpoint
    this.#user = user
    const { host, port } = endpoint
    const onread = { buffer: READ_BUFFER, callback: (length: number) => this.#read(length) }
    const socket = link
      ? link.connect(onread, (problem, until) => this.#proved(problem, until))
      : connect({ host, port, noDelay: true, onread })
    this.socket = socket
    this.#connectTimer = setTimeout(() => socket.destroy(connectTimedOut()), limits.connectTimeoutMs)
    if (!link) socket.on('connect', () => this.#connected())
    if (limits.keepAlive) probe(socket, limits.keepAlive)
    socket.resume() // no data event comes, but without it no end event does either
    socket.on('drain', () => this.#user?.upstreamDrained())
    socket.on('end', () => this.#end(null))
    socket.on('error', (error) => this.#end(error))
    socket.on('close', () => this.#end(null))
  }

  /** Puts it back for another exchange, or closes it where enough are kept. */
  release(limits: UpstreamLimits): void {
    this.#user = null
    const { socket } = this
    const { idle, gone } = this.#pool
    if (gone || socket.destroyed || idle.length >= limits.maxIdleUpstreams || !this.usable)
      return this.destroy()
    if (this.#isWorn(limits)) return this.destroy()
    this.#idleMs = limits.idleMs ?? null
    if (socket.isPaused()) socket.resume()
    this.idleSince = performance.now()
    idle.push(this)
  }

  /** Closes it at once; its user hears nothing more. */
  destroy(): void {
    this.#user = null
    this.#stopConnectTimer()
    this.#forget()
    this.socket.destroy()
  }

  /** Whether it has been idle for too long; `deadline` (performance.now()) is the mesh's. */
  isStale(deadline: number, now: number): boolean {
    return this.idleSince < (this.#idleMs === null ? deadline : now - this.#idleMs)
  }

  #isWorn({ maxUses, maxAgeMs }: UpstreamLimits): boolean {
    if (maxUses && this.uses + 1 >= maxUses) return true
    return !!maxAgeMs && performance.now() - this.#since >= maxAgeMs
  }

  /** Whether it may be used for another request. */
  get usable(): boolean {
    return Date.now() < this.#usableUntil
  }

  #proved(problem: PeerProblem | null, until: number): void {
    this.#usableUntil = until
    if (problem === null) this.#connected()
    else this.socket.destroy(Object.assign(new Error(problem), { code: `PEER_${problem}` }))
  }

  #connected(): void {
    this.connected = true
    this.#stopConnectTimer()
    this.#user?.upstreamConnected()
  }

  #read(length: number): boolean {
    if (this.#user) this.#user.upstreamBytes(Buffer.from(READ_BUFFER.subarray(0, length)))
    else this.destroy() // bytes that nobody asked for
    return true
  }

  #end(error: NodeJS.ErrnoException | null): void {
    const user = this.#user
    this.destroy()
    user?.upstreamEnded(error)
  }

  #forget(): void {
    const { idle } = this.#pool
    const at = idle.indexOf(this)
    if (at >= 0) idle.splice(at, 1)
  }

  #stopConnectTimer(): void {
    if (this.#connectTimer) clearTimeout(this.#connectTimer)
    this.#connectTimer = null
  }
}

function takeUsable(idle: UpstreamConnection[]): UpstreamConnection | undefined {
  for (;;) {
    const connection = idle.pop()
    if (!connection || connection.usable) return connection
    connection.destroy()
  }
}

/** Closes the connections of `endpoint` that have been idle since before `deadline` (performance.now()), or for longer than they themselves may. */
export function closeIdle(endpoint: Endpoint, deadline: number): void {
  if (endpoint.idle.length === 0) return
  const now = performance.now()
  for (const connection of endpoint.idle.filter((one) => one.isStale(deadline, now))) connection.destroy()
}

function probe(socket: Socket, { time, interval, probes }: KeepAlive): void {
  const ms = (seconds: number | null) => (seconds === null ? undefined : seconds * 1_000)
  // Node 26 takes the interval and the number of probes as well; its types do not know yet.
  Reflect.apply(socket.setKeepAlive, socket, [true, ms(time), ms(interval), probes ?? undefined])
}

function connectTimedOut(): NodeJS.ErrnoException {
  return Object.assign(new Error('the connection was not made in time'), { code: 'ETIMEDOUT' })
}
