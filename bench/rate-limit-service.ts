import { createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Child, Children } from './children.ts'

// Envoy's rate-limit service (envoy.service.ratelimit.v3.RateLimitService) as small as it can be: a fixed window for
// each descriptor, in memory. It stands in for the real one, and its CPU time is not counted as Envoy's.

export type RateLimitService = { readonly child: Child; readonly port: number; asked(): Promise<number> }

const WINDOW_MS = 60_000
const OK = 1
const OVER_LIMIT = 2

/** Starts the service in a process of its own; every descriptor has `requests` a minute. */
export async function startRateLimitService(children: Children, requests: number): Promise<RateLimitService> {
  const child = children.start(
    'rate-limit-service',
    process.execPath,
    [fileURLToPath(import.meta.url), `${requests}`],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  )
  const answer = () =>
    new Promise<number>((resolve, reject) => {
      child.process.once('message', (message) => resolve(message as number))
      child.process.once('exit', () => reject(new Error('the rate-limit service ended')))
    })
  const port = await answer()
  return {
    child,
    port,
    asked() {
      const count = answer()
      child.process.send('asked')
      return count
    },
  }
}

async function serve(most: number): Promise<void> {
  let windowStart = 0
  let counts = new Map<string, number>()
  let asked = 0
  const judge = (key: string): number => {
    const now = Date.now()
    if (now >= windowStart + WINDOW_MS) {
      windowStart = now - (now % WINDOW_MS)
      counts = new Map()
    }
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    return count > most ? OVER_LIMIT : OK
  }
  const server = createServer()
  server.on('stream', (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', () => {})
    stream.on('end', () => {
      asked++
      // The request has the domain and one descriptor, the same bytes for the same subject: they are the key.
      const code = judge(Buffer.concat(chunks).toString('latin1', 5))
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      // Not compressed, two bytes; field 1 (overall_code), a varint.
      stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, code]))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  process.send!((server.address() as AddressInfo).port)
  process.on('message', () => process.send!(asked))
  // Without its parent the service has no purpose.
  process.on('disconnect', () => process.exit())
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(Number(process.argv[2]))
