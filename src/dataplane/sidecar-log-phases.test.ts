// A line begins in the request phase and ends in the response phase, which may have another policy, or no request at all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND, HOLE_DURATION } from '../sidecar/layout/record.ts'
import { decide, NOW, policyOf, respond, sidecars, telemetry } from './telemetry-testing.ts'

const HEAD = 'GET /a HTTP/1.1\r\nhost: cart.shop.localhost\r\n\r\n'
const NOTHING = Buffer.alloc(0)
const text = policyOf({
  accessLogFile: '/dev/stdout',
  accessLogFormat: '%REQ(:METHOD)% %RESPONSE_CODE% %REQ(:PATH)%',
})

function contextOf(policy: Buffer, direction: number): Buffer {
  const decision = decide(policy, HEAD, { direction })
  if (decision.kind !== 'forward') throw new Error(JSON.stringify(decision))
  return decision.context
}

/** The line's text with its holes left open; null where none is written. */
function lineFor(policy: Buffer, context: Buffer): string | null {
  const response = respond(policy, context)
  if (response.kind !== 'head') throw new Error(JSON.stringify(response))
  return response.log?.text.toString() ?? null
}

test('a mode that does not log leaves no line, the other one does', () => {
  const logging = { accessLogFile: '/dev/stdout' }
  const quiet = (mode: string) =>
    policyOf(logging, [
      telemetry('shop', 'a', { accessLogging: [{ match: { mode }, disabled: true }] as never }),
    ])
  for (const [mode, silent, loud] of [
    ['CLIENT', DIRECTION_OUTBOUND, DIRECTION_INBOUND],
    ['SERVER', DIRECTION_INBOUND, DIRECTION_OUTBOUND],
  ] as const) {
    const policy = quiet(mode)
    assert.equal(lineFor(policy, contextOf(policy, silent)), null)
    assert.match(lineFor(policy, contextOf(policy, loud))!, /"GET \/a HTTP\/1.1" 200/)
  }
  const off = policyOf({})
  assert.equal(lineFor(off, contextOf(off, DIRECTION_INBOUND)), null)
})

test('caller and callee may log in different formats', () => {
  const provider = (name: string, format: string) => ({
    name,
    envoyFileAccessLog: { path: '/dev/stdout', logFormat: { text: format } },
  })
  const entry = (mode: string, name: string) => ({ match: { mode }, providers: [{ name }] })
  const policy = policyOf(
    {
      extensionProviders: [
        provider('c', 'client %REQ(:PATH)%'),
        provider('s', 'server %REQ(:PATH)%'),
      ] as never,
    },
    [telemetry('shop', 'a', { accessLogging: [entry('CLIENT', 'c'), entry('SERVER', 's')] as never })],
  )
  assert.equal(lineFor(policy, contextOf(policy, DIRECTION_OUTBOUND)), 'client /a')
  assert.equal(lineFor(policy, contextOf(policy, DIRECTION_INBOUND)), 'server /a')
})

test('a policy that changed in between gives a line of its own format', () => {
  const other = policyOf({
    accessLogFile: '/dev/stdout',
    accessLogFormat: '%RESPONSE_CODE% <%REQ(:METHOD)%>',
  })
  assert.equal(lineFor(text, contextOf(text, DIRECTION_INBOUND)), 'GET 200 /a')
  assert.equal(lineFor(other, contextOf(text, DIRECTION_INBOUND)), '200 <->')
  assert.equal(lineFor(policyOf({}), contextOf(text, DIRECTION_INBOUND)), null)
})

test('without a request phase, or one that never knew a function, its values are absent', () => {
  assert.equal(lineFor(text, NOTHING), '- 200 -')
  const received = Buffer.from(HEAD)
  const facts = {
    direction: DIRECTION_INBOUND,
    peer: '',
    sourceIp: new Uint8Array(16),
    sourcePort: 1,
    localIp: new Uint8Array(16),
    localPort: 2,
    tls: false,
  }
  assert.equal(sidecars.open(received, 0, received.length, facts, NOW, Buffer.alloc(48)).kind, 'opened')
  assert.equal(lineFor(text, sidecars.abandon().context), '- 200 -')
})

test('a context cut short or changed gives a line, or is refused, and never reaches beyond itself', () => {
  const context = contextOf(text, DIRECTION_INBOUND)
  const kinds = new Set<string>()
  fc.assert(
    fc.property(fc.nat(context.length), fc.nat(context.length - 1), fc.nat(255), (length, at, byte) => {
      const changed = Buffer.from(context)
      changed[at] = byte
      const response = respond(text, changed.subarray(0, length))
      kinds.add(response.kind)
      assert.ok(response.kind === 'head' || response.kind === 'bad', response.kind)
      if (response.kind === 'head' && response.log)
        assert.ok(response.log.text.length < 2 * context.length + 20)
    }),
    { numRuns: 2000 },
  )
  assert.deepEqual([...kinds].sort(), ['bad', 'head'])
})

test('holes are in order, at the offsets where the figures belong', () => {
  const policy = policyOf({
    accessLogFile: '/dev/stdout',
    accessLogFormat: '%DURATION%|%REQ(:METHOD)%|%DURATION%',
  })
  const response = respond(policy, contextOf(policy, DIRECTION_INBOUND))
  if (response.kind !== 'head') throw new Error(response.kind)
  assert.equal(response.log!.text.toString(), '|GET|')
  assert.deepEqual([...response.log!.holes], [0, HOLE_DURATION, 5, HOLE_DURATION])
})
