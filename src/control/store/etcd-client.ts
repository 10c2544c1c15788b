import { type Client, Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { Auth, KV, Lease, Watch } from '../proto/etcd/etcd_pb.js'
import { StoreError } from './store.ts'

export interface EtcdOptions {
  /** Members of the cluster, as "HOST:PORT"; each is tried where another does not answer. */
  endpoints: readonly string[]
  /** Present: TLS, with `ca` (PEM; absent: the system's) to verify members by, and the client's own certificate if it has one. */
  tls?: { ca?: string; cert?: string; key?: string }
  user?: { name: string; password: string }
}

export interface EtcdMember {
  readonly endpoint: string
  readonly kv: Client<typeof KV>
  readonly lease: Client<typeof Lease>
  readonly watch: Client<typeof Watch>
}

/** A member that does not answer a call for this long is left for another, in milliseconds. */
const CALL_MS = 2_000

/** The members of an etcd cluster, spoken to over gRPC; calls go to one that answers. */
export class EtcdClient {
  readonly #members: EtcdMember[]
  readonly #closed = new AbortController()
  #current = 0

  constructor({ endpoints, tls, user }: EtcdOptions) {
    this.#members = endpoints.map((endpoint) => {
      const base = {
        baseUrl: `${tls ? 'https' : 'http'}://${endpoint}`,
        nodeOptions: { ...(tls && { ...tls, minVersion: 'TLSv1.2' as const }) },
      }
      const auth = createClient(Auth, createGrpcTransport(base))
      const interceptors = user ? [proving(() => authenticate(auth, user))] : []
      const transport = createGrpcTransport({ ...base, interceptors })
      return {
        endpoint,
        kv: createClient(KV, transport),
        lease: createClient(Lease, transport),
        watch: createClient(Watch, transport),
      }
    })
  }

  /** Aborts with the client. */
  get signal(): AbortSignal {
    return this.#closed.signal
  }

  get member(): EtcdMember {
    return this.#members[this.#current]!
  }

  /** The member that was spoken to does not answer: another one is next. */
  leave(member: EtcdMember): void {
    if (this.member === member) this.#current = (this.#current + 1) % this.#members.length
  }

  /**
   * Makes a call that may be made twice. Rejects with a StoreError where no member answers, with a ConnectError where etcd refuses.
   */
  async call<T>(
    make: (member: EtcdMember, options: { timeoutMs: number; signal: AbortSignal }) => Promise<T>,
    timeoutMs = CALL_MS,
  ): Promise<T> {
    const problems: string[] = []
    for (let tries = 0; tries < this.#members.length; tries++) {
      const { member } = this
      try {
        return await make(member, { timeoutMs, signal: this.signal })
      } catch (error) {
        if (this.signal.aborted) throw new StoreError('unavailable', 'the store is closed')
        if (!isUnreachable(error)) throw error
        problems.push(`${member.endpoint}: ${ConnectError.from(error).rawMessage}`)
        this.leave(member)
      }
    }
    throw new StoreError('unavailable', `etcd does not answer (${problems.join('; ')})`)
  }

  close(): void {
    this.#closed.abort()
  }
}

/** Whether the same call may succeed elsewhere, or later. */
function isUnreachable(error: unknown): boolean {
  const { code, rawMessage } = ConnectError.from(error)
  if (code === Code.Unavailable || code === Code.DeadlineExceeded || code === Code.Canceled) return true
  // A connection that breaks in the middle of a call; an answer of etcd's own begins with its name.
  return (
    (code === Code.Internal || code === Code.Unknown || code === Code.Aborted) &&
    !/^etcdserver|^mvcc/.test(rawMessage)
  )
}

/** Proves each call by a token, and makes a new one where the member knows it no more. */
function proving(newToken: () => Promise<string>): Interceptor {
  let token: Promise<string> | null = null
  return (next) => async (request) => {
    for (let again = false; ; again = true) {
      token ??= newToken()
      const mine = token
      try {
        request.header.set('token', await mine)
        return await next(request)
      } catch (error) {
        if (token === mine) token = null
        if (again || !isStaleToken(error)) throw error
      }
    }
  }
}

function isStaleToken(error: unknown): boolean {
  const { code, rawMessage } = ConnectError.from(error)
  return code === Code.Unauthenticated || /invalid auth token|revision of auth store is old/.test(rawMessage)
}

async function authenticate(
  auth: Client<typeof Auth>,
  { name, password }: { name: string; password: string },
): Promise<string> {
  return (await auth.authenticate({ name, password }, { timeoutMs: CALL_MS })).token
}
