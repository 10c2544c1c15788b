import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { METRICS_CONTENT_TYPE } from './metrics-text.ts'

/** Where metrics are served: Prometheus' own path, and that at which Istio's proxies are scraped. */
const PATHS: ReadonlySet<string> = new Set(['/metrics', '/stats/prometheus'])
const MOST_CONNECTIONS = 64
/** A client has so long to send its request, in milliseconds. */
const REQUEST_MS = 10_000

/** Serves what `text` gives to whoever asks with GET. Resolves once it listens; rejects where it can't. */
export async function startMetricsServer(
  address: { host: string; port: number },
  text: () => Promise<string>,
): Promise<{ server: Server; port: number }> {
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS },
    (request, response) => {
      answer(request, response, text).catch(() => {
        if (response.headersSent) response.destroy()
        else send(response, 500, 'text/plain', 'the engines could not be asked\n')
      })
    },
  )
  server.maxConnections = MOST_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...address, exclusive: true }, resolve)
  })
  return { server, port: (server.address() as AddressInfo).port }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  text: () => Promise<string>,
): Promise<void> {
  const path = (request.url ?? '').split('?')[0]!
  if (!PATHS.has(path))
    return send(response, 404, 'text/plain', `metrics are at ${[...PATHS].join(' and ')}\n`)
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return send(response, 405, 'text/plain', 'metrics are read with GET\n')
  }
  send(response, 200, METRICS_CONTENT_TYPE, await text())
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
