import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Child, Children } from './children.ts'

/** What a sink has received; `refused` counts exports that were no trace request. */
export type SinkCount = { readonly spans: number; readonly exports: number; readonly refused: number }

export type TraceSink = {
  readonly child: Child
  readonly grpcPort: number
  readonly httpPort: number
  count(): Promise<SinkCount>
}

/** Starts a stand-in for an OpenTelemetry collector in a process of its own: it takes OTLP and counts the spans. */
export async function startTraceSink(children: Children): Promise<TraceSink> {
  const child = children.start('trace-sink', process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [grpcPort, httpPort] = await new Promise<[number, number]>((resolve, reject) => {
    child.process.once('message', (ports) => resolve(ports as [number, number]))
    child.process.once('exit', () => reject(new Error('the trace sink ended at once')))
  })
  return {
    child,
    grpcPort,
    httpPort,
    async count() {
      const response = await fetch(`http://127.0.0.1:${httpPort}/count`)
      return (await response.json()) as SinkCount
    },
  }
}

/** Counts the spans of an OTLP trace export in protobuf: ExportTraceServiceRequest.resource_spans.scope_spans.spans. */
export function countSpans(message: Uint8Array): number {
  return countAt(message, 0, message.length, [1, 2, 2])
}

// Follows the field numbers of `path` from message to message and counts the last one's occurrences.
function countAt(bytes: Uint8Array, start: number, end: number, path: readonly number[]): number {
  let count = 0
  let at = start
  const varint = () => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      if (at >= end) throw new RangeError('the protobuf message is cut short')
      const byte = bytes[at++]!
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < end) {
    const tag = varint()
    const wireType = tag & 7
    if (wireType === 0) varint()
    else if (wireType === 1) at += 8
    else if (wireType === 5) at += 4
    else if (wireType === 2) {
      const length = varint()
      if (at + length > end) throw new RangeError('the protobuf message is cut short')
      if (tag >>> 3 === path[0])
        count += path.length === 1 ? 1 : countAt(bytes, at, at + length, path.slice(1))
      at += length
    } else throw new RangeError(`wire type ${wireType} is not protobuf 3`)
  }
  return count
}

// In OTLP's JSON every span, and nothing else a proxy sends, has a member "spanId".
function countJsonSpans(body: Buffer): number {
  let count = 0
  for (let at = body.indexOf('"spanId"'); at !== -1; at = body.indexOf('"spanId"', at + 8)) count++
  return count
}

async function serve(): Promise<void> {
  const count = { spans: 0, exports: 0, refused: 0 }
  const note = (spans: () => number): boolean => {
    try {
      count.spans += spans()
      count.exports++
      return true
    } catch {
      count.refused++
      return false
    }
  }

  const grpc = createHttp2Server()
  grpc.on('stream', (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', () => count.refused++)
    stream.on('end', () => {
      // A gRPC message: one byte of flags, four of length, then the protobuf message.
      const isTaken = note(() => countSpans(Buffer.concat(chunks).subarray(5)))
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': isTaken ? '0' : '3' }))
      stream.end(Buffer.alloc(5))
    })
  })

  const http = createServer(async (request: IncomingMessage, response) => {
    if (request.url === '/count') return void response.end(JSON.stringify(count))
    const body = Buffer.concat(await request.toArray())
    const isJson = request.headers['content-type']?.startsWith('application/json') === true
    const isTaken =
      request.url === '/v1/traces' && note(() => (isJson ? countJsonSpans(body) : countSpans(body)))
    response.writeHead(isTaken ? 200 : 400, {
      'content-type': request.headers['content-type'] ?? 'text/plain',
    })
    response.end(isJson ? '{}' : '')
  })

  const ports = [grpc, http].map(async (server) => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as AddressInfo).port
  })
  process.send?.(await Promise.all(ports))
  // Without its parent the sink has no purpose.
  process.on('disconnect', () => process.exit())
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve()
