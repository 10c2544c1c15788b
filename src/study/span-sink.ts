import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A collector that takes spans (OTLP over HTTP) and counts what it got. */
export interface SpanSink {
  /** Where senders reach it. */
  readonly host: string
  readonly port: number
  readonly requests: number
  readonly bytes: number
  close(): void
}

/** Listens on an address of this machine. */
export async function startSpanSink(host: string): Promise<SpanSink> {
  let requests = 0
  let bytes = 0
  const server = createServer((request, response) => {
    requests++
    request.on('data', (part: Buffer) => {
      bytes += part.length
    })
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end())
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve))
  const { port } = server.address() as AddressInfo
  return {
    host,
    port,
    get requests() {
      return requests
    },
    get bytes() {
      return bytes
    },
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
