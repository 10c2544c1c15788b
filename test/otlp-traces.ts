// Reads OTLP's ExportTraceServiceRequest in protobuf (opentelemetry-proto, trace.proto, v1), knowing nothing of who wrote it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Span {
  service: string
  traceId: string
  spanId: string
  parentId: string
  name: string
  kind: 'server' | 'client' | 'other'
  startNs: bigint
  endNs: bigint
  attributes: Record<string, string | number>
  isError: boolean
}

type Field = Buffer | bigint

export function decodeMessage(bytes: Buffer): Map<number, Field[]> {
  const fields = new Map<number, Field[]>()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      assert.ok(byte !== undefined, 'the message is cut short')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const key = Number(varint())
    const values = fields.get(key >> 3) ?? []
    fields.set(key >> 3, values)
    switch (key & 7) {
      case 0:
        values.push(varint())
        break
      case 1:
        values.push(bytes.readBigUInt64LE(at))
        at += 8
        break
      case 2: {
        const length = Number(varint())
        assert.ok(at + length <= bytes.length, 'the message is cut short')
        values.push(bytes.subarray(at, at + length))
        at += length
        break
      }
      default:
        assert.fail(`wire type ${key & 7}`)
    }
  }
  return fields
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

export function spansOf(message: Buffer): Span[] {
  return nested(decodeMessage(message), 1).flatMap((resourceSpans) => {
    const service = String(attributesOf(nested(resourceSpans, 1)[0]!, 1)['service.name'])
    return nested(resourceSpans, 2).flatMap((scope) => nested(scope, 2).map((span) => toSpan(span, service)))
  })
}

function toSpan(span: Map<number, Field[]>, service: string): Span {
  const hex = (number: number) => (span.get(number)?.[0] as Buffer | undefined)?.toString('hex') ?? ''
  const kind = Number(span.get(6)?.[0])
  return {
    service,
    traceId: hex(1),
    spanId: hex(2),
    parentId: hex(4),
    name: UTF8.decode(span.get(5)![0] as Buffer),
    kind: kind === 2 ? 'server' : kind === 3 ? 'client' : 'other',
    startNs: span.get(7)![0] as bigint,
    endNs: span.get(8)![0] as bigint,
    attributes: attributesOf(span, 9),
    isError: nested(span, 15).some((status) => status.get(3)?.[0] === 2n),
  }
}

function attributesOf(of: Map<number, Field[]>, number: number): Record<string, string | number> {
  const found: Record<string, string | number> = {}
  for (const pair of nested(of, number)) {
    const key = UTF8.decode(pair.get(1)![0] as Buffer)
    assert.ok(!Object.hasOwn(found, key), `${key} is there twice`)
    const value = decodeMessage(pair.get(2)![0] as Buffer)
    const number_ = value.get(3)?.[0]
    found[key] = number_ === undefined ? UTF8.decode(value.get(1)![0] as Buffer) : Number(number_)
  }
  return found
}

function nested(of: Map<number, Field[]>, number: number): Map<number, Field[]>[] {
  return (of.get(number) ?? []).map((bytes) => decodeMessage(bytes as Buffer))
}

export interface TestCollector {
  port: number
  spans: Span[]
  /** Resolves once `count` spans have come. */
  has(count: number): Promise<void>
  close(): void
}

/** A collector that takes everything. */
export async function startCollector(): Promise<TestCollector> {
  const spans: Span[] = []
  const waiting = new Set<() => void>()
  const server = createServer(async (request, response) => {
    assert.equal(`${request.method} ${request.url}`, 'POST /v1/traces')
    assert.equal(request.headers['content-type'], 'application/x-protobuf')
    spans.push(...spansOf(Buffer.concat(await request.toArray())))
    response.end()
    for (const look of waiting) look()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    spans,
    has: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (spans.length < count) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
