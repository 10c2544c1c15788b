// Every log format of access-log.golden.txt gives the line below it, through the real sidecar and the engine's figures.
// A line that starts with "#" names the scenario, an indented one is the expected line, or after "! " why the format is
// refused. UPDATE_GOLDEN=1 writes what is instead.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { defaultMeshConfig, type MeshConfigSpec } from '../api/mesh-config.ts'
import {
  DIRECTION_INBOUND,
  DIRECTION_OUTBOUND,
  RESPONSE_FLAG_UAEX,
  RESPONSE_FLAG_UF,
} from '../sidecar/layout/record.ts'
import { ipBytes } from './ip-bytes.ts'
import { type ExchangeFigures, fillLogLine } from './log-line.ts'
import {
  decide,
  NOW,
  policyOf,
  type RequestFacts,
  type ResponseFacts,
  respond,
  sidecars,
} from './telemetry-testing.ts'

const golden = new URL('./access-log.golden.txt', import.meta.url)

interface Scenario {
  head?: string
  request?: RequestFacts
  /** The mesh's own reply, in place of an upstream's response. */
  reply?: { status: number; fields?: string }
  response?: ResponseFacts
  figures?: Partial<ExchangeFigures>
  config?: Partial<MeshConfigSpec>
}

const head =
  'POST //cart/./add?item=7 HTTP/1.1\r\nHost: Cart.shop.localhost:8080\r\nUser-Agent: curl/8.5.0\r\n' +
  'X-Forwarded-For: 198.51.100.7\r\nX-Request-Id: spoofed\r\nX-Envoy-Original-Path: /spoofed\r\n' +
  'X-Forwarded-Client-Cert: spoofed\r\nX-List: one\r\nX-List: two\r\nX-Empty:\r\n' +
  'traceparent: 00-12345678901234567890123456789012-1234567890123456-01\r\nContent-Length: 3\r\n\r\n'

const trusted: Partial<MeshConfigSpec> = {
  defaultConfig: {
    ...defaultMeshConfig.defaultConfig,
    gatewayTopology: { numTrustedProxies: 1, forwardClientCertDetails: undefined },
  },
}

const scenarios: Record<string, Scenario> = {
  gateway: {
    response: {
      head: 'HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nX-Envoy-Upstream-Service-Time: 9\r\nContent-Length: 2\r\n\r\n',
    },
  },
  'trusted proxy': { config: trusted },
  outbound: {
    request: { direction: DIRECTION_OUTBOUND, peer: 'cluster.local/ns/shop/sa/front', target: 'shop/cart' },
  },
  inbound: {
    request: {
      direction: DIRECTION_INBOUND,
      peer: 'cluster.local/ns/shop/sa/front',
      tls: true,
      sourceIp: ipBytes('2001:db8:0:0:1::5'),
      localIp: ipBytes('::1'),
    },
    head: 'GET / HTTP/1.0\r\nHost: cart.shop.svc.cluster.local\r\nX-Request-Id: 11111111-2222-4333-8444-555555555555\r\n\r\n',
  },
  denied: { reply: { status: 403 }, response: { flags: RESPONSE_FLAG_UAEX } },
  'no upstream': {
    reply: { status: 503, fields: 'retry-after: 3\r\n' },
    response: { flags: RESPONSE_FLAG_UF },
    figures: { responseMs: null, requestMs: null },
  },
  hostile: {
    head: 'GET /a%22b"?x=\\ HTTP/1.1\r\nHost: cart.shop.localhost\r\nUser-Agent: a"b\\c\td\x80\xff\xc3\xa4\xc2\x85\xe2\x82\xac\xed\xa0\x80\r\n\r\n',
  },
  'early morning': { request: { now: Date.UTC(2024, 1, 29, 0, 5, 9, 40) } },
  'no request': { head: '', reply: { status: 400 } },
}

/** The line that `format` gives in a scenario, or "! " and why the format is refused. */
function lineOf(scenario: Scenario, format: string): string {
  const isJson = format.startsWith('{')
  let policy: Buffer
  try {
    policy = policyOf({
      ...scenario.config,
      accessLogFile: '/dev/stdout',
      accessLogFormat: format.startsWith('default') ? '' : format,
      accessLogEncoding: isJson || format === 'default JSON' ? 'JSON' : 'TEXT',
    })
  } catch (error) {
    return `! ${(error as Error).message}`
  }
  let context: Buffer = Buffer.alloc(0)
  if (scenario.head !== '') {
    const decision = decide(policy, scenario.head ?? head, scenario.request)
    if (decision.kind === 'failed') throw new Error(decision.reason)
    context = decision.kind === 'denied' ? decision.denial.context : decision.context
  }
  const { reply } = scenario
  const flags = scenario.response?.flags ?? 0
  const response = reply
    ? sidecars.reply(policy, context, reply.status, 'refused', reply.fields ?? '', NOW, flags)
    : respond(policy, context, scenario.response)
  if (response.kind !== 'head') throw new Error(JSON.stringify(response))
  if (response.log === null) return '(none)'
  const line = fillLogLine(response.log, {
    bytesReceived: 3,
    bytesSent: 2,
    durationMs: 12.9,
    responseMs: 10.2,
    requestMs: 1.5,
    ...(reply ? {} : { upstreamMs: 8.7 }),
    responseFlags: flags,
    ...scenario.figures,
  }).toString('utf8')
  if (format.startsWith('{') || format === 'default JSON') JSON.parse(line)
  return line
}

describe('access-log formats', () => {
  const blocks: string[] = []
  let scenario: Scenario | undefined
  const lines = readFileSync(golden, 'utf8').split('\n')
  for (const [i, line] of lines.entries()) {
    if (line.startsWith('#')) {
      scenario = scenarios[line.slice(1).trim()]
      assert.ok(scenario, `access-log.golden.txt:${i + 1}: unknown scenario ${line}`)
      blocks.push(line)
    } else if (line !== '' && !line.startsWith(' ')) {
      const own = scenario!
      if (process.env.UPDATE_GOLDEN) blocks.push(line, `  ${lineOf(own, line).replaceAll('\n', '\n  ')}`)
      else {
        test(line, () => {
          const end = lines.findIndex((other, j) => j > i && !other.startsWith(' '))
          const expected = lines.slice(i + 1, end).map((other) => other.slice(2))
          assert.equal(lineOf(own, line), expected.join('\n'), `access-log.golden.txt:${i + 1}`)
        })
      }
    } else if (line === '') blocks.push(line)
  }
  if (process.env.UPDATE_GOLDEN) writeFileSync(golden, blocks.join('\n'))
})
