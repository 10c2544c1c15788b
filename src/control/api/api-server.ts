import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextValues,
  type Interceptor,
} from '@connectrpc/connect'
import { compressionBrotli, connectNodeAdapter } from '@connectrpc/connect-node'
import { StoreError } from '../store/store.ts'
import { ASKER, askerOf } from './asker.ts'
import type { ControlIdentity } from './control-identity.ts'
import { messageGzip } from './message-gzip.ts'

export interface ApiServerOptions {
  host: string
  port: number
  identity: ControlIdentity
  /** PEM of what client certificates are verified by. */
  roots: string
  trustDomain: string
  routes(router: ConnectRouter): void
  /** Health for those who ask without a certificate: null where all is well, else what is not. */
  problem(): string | null
}

export interface ApiServer {
  readonly port: number
  /** The server's own certificate is new. */
  renew(identity: ControlIdentity): void
  close(): Promise<void>
}

const PROTOCOLS = ['h2', 'http/1.1']
/** Largest message of a call, in bytes. */
const MOST_MESSAGE = 64 * 1024 * 1024
/** Connections at once. */
const MOST_CONNECTIONS = 4_096
/** A connection over which nothing goes for so long is ended: each takes memory. In milliseconds. */
const IDLE_MS = 60_000

/** Serves the API over HTTP/2 and HTTP/1.1 with TLS 1.3. Who has no certificate may call what needs none. Rejects where the address cannot be used. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { identity, roots, trustDomain } = options
  const calls = connectNodeAdapter({
    routes: options.routes,
    interceptors: [tellingOfStore],
    contextValues: (request) => createContextValues().set(ASKER, askerOf(request, trustDomain)),
    readMaxBytes: MOST_MESSAGE,
    acceptCompression: [messageGzip, compressionBrotli],
    fallback: (request, response) => {
      if (request.url === '/healthz' || request.url === '/readyz') {
        const problem = request.url === '/readyz' ? options.problem() : null
        response.writeHead(problem === null ? 200 : 503, { 'content-type': 'text/plain' })
        response.end(`${problem ?? 'ok'}\n`)
        return
      }
      response.writeHead(404, { 'content-type': 'text/plain' })
      response.end('nothing is here: calls are at /mayfly.v1.MeshService/, health at /healthz and /readyz\n')
    },
  })
  const server = createSecureServer(
    {
      ...secureOptions(identity, roots),
      allowHTTP1: true,
      // Of a list Node would keep a copy for each connection, and with it the 64 KiB from which that copy is cut.
      ALPNCallback: ({ protocols }) => PROTOCOLS.find((one) => protocols.includes(one)),
      requestCert: true,
      // Without a certificate one may ask for health and join; each call looks at who asks.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    },
    calls,
  )
  const sockets = followSockets(server)
  await listen(server, options.host, options.port)
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : options.port,
    renew: (next) => server.setSecureContext(secureOptions(next, roots)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** That the store does not answer is no secret, and a reason to try again. */
const tellingOfStore: Interceptor = (next) => async (request) => {
  try {
    return await next(request)
  } catch (error) {
    if (error instanceof StoreError) throw new ConnectError(error.message, Code.Unavailable)
    throw error
  }
}

function secureOptions({ certificate, key }: ControlIdentity, roots: string) {
  return { cert: certificate, key, ca: roots }
}

function followSockets(server: Http2SecureServer): Set<Socket> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    if (sockets.size >= MOST_CONNECTIONS) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  // A peer that breaks its connection must not break the server.
  server.on('sessionError', () => {})
  server.on('session', (session: ServerHttp2Session) => {
    session.on('error', () => {})
    // What is under way on it goes on; the next call makes a new connection.
    session.setTimeout(IDLE_MS, () => session.close())
  })
  return sockets
}

function listen(server: Http2SecureServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      server.on('error', () => {})
      resolve()
    })
  })
}
