// The dearest heads that the limits admit run within the fuel of a phase: none is refused for costing too much.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DIRECTION_INBOUND, DIRECTION_INGRESS, DIRECTION_OUTBOUND } from '../src/sidecar/layout/record.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'

const sidecars = await realSidecars()
sidecars.maxHeadBytes = 65_536
const policy = openPolicy({
  enableTracing: true,
  tracePropagation: ['w3c', 'b3', 'b3single'],
  accessLogFile: '/dev/stdout',
  accessLogEncoding: 'JSON',
  pathNormalization: { normalization: 'DECODE_AND_MERGE_SLASHES' },
  defaultConfig: { gatewayTopology: { numTrustedProxies: 100 } },
})

const SIZE = 65_400
const fill = (piece: string, less = 0) => piece.repeat(Math.floor((SIZE - less) / piece.length))
const start = 'GET / HTTP/1.1\r\nHost: a\r\n'

const HEADS: Record<string, string> = {
  'escapes of unreserved characters': `GET /${fill('%41', 40)} HTTP/1.1\r\nHost: a\r\n`,
  'escapes of slashes': `GET /${fill('%2f', 40)} HTTP/1.1\r\nHost: a\r\n`,
  'dot segments': `GET /${fill('a/../', 40)} HTTP/1.1\r\nHost: a\r\n`,
  'deep dot segments': `GET /${fill('a/', 32_800)}${fill('../', 32_800)} HTTP/1.1\r\nHost: a\r\n`,
  'one long segment taken away': `GET /${fill('a', 60)}/../b HTTP/1.1\r\nHost: a\r\n`,
  'a long query of quotes': `GET /?${fill('"', 40)} HTTP/1.1\r\nHost: a\r\n`,
  'addresses of proxies': `${start}X-Forwarded-For: ${fill('1.1.1.1,', 60)}1\r\n`,
  'commas of proxies': `${start}X-Forwarded-For: ${fill(',', 60)}\r\n`,
  'members of a tracestate': `${start}traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: ${fill('a=b,', 140)}c=d\r\n`,
  'one long name': `${start}${fill('a', 40)}: b\r\n`,
  'one long name with underscores': `${start}${fill('a_', 40)}: b\r\n`,
  'control of a long value': `${start}User-Agent: ${fill('\\"', 60)}\r\n`,
  'a value that is not UTF-8': `${start}User-Agent: ${fill('\xff', 60)}\r\n`,
  'white space before a value': `${start}A:${fill(' ', 60)}b\r\n`,
  'connection options': `${start}Connection: ${fill(',', 600)}${Array.from({ length: 31 }, (_, i) => `o${i}`)}\r\n`,
  'upgrade of many': `${start}Connection: upgrade\r\nUpgrade: ${'a,'.repeat(120)}b\r\n`,
  'codings that are taken': `${start}Connection: te\r\nTE: ${fill('gzip,', 80)}trailers\r\n`,
  'many fields': start + Array.from({ length: 126 }, (_, i) => `X-${i}: ${'y'.repeat(500)}\r\n`).join(''),
  'cookies in many fields':
    start + Array.from({ length: 126 }, () => `Cookie: ${'y'.repeat(490)}\r\n`).join(''),
}

for (const [what, lines] of Object.entries(HEADS)) {
  test(what, () => {
    const head = Buffer.from(`${lines}\r\n`, 'latin1')
    assert.ok(head.length <= 65_536)
    for (const direction of [DIRECTION_INGRESS, DIRECTION_OUTBOUND, DIRECTION_INBOUND]) {
      const opened = sidecars.open(head, 0, head.length, factsOf(direction), NOW, RANDOM)
      assert.equal(opened.kind, 'opened')
      const decision = sidecars.decide(policy, 'shop/cart', 8080)
      assert.ok(decision.kind === 'forward', JSON.stringify(decision).slice(0, 200))
      const reply = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ${'"'.repeat(60_000)}\r\n\r\n`)
      const response = sidecars.respond(
        policy,
        decision.context,
        reply,
        0,
        reply.length,
        NOW,
        '127.0.0.1:1',
        0,
      )
      assert.equal(response.kind, 'head')
    }
  })
}
