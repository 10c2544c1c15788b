// What must hold of every log line, whatever is in the request.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type ExchangeFigures, fillLogLine } from './log-line.ts'
import { decide, policyOf, respond } from './telemetry-testing.ts'

const figures: ExchangeFigures = {
  bytesReceived: 0,
  bytesSent: 0,
  durationMs: 1,
  responseMs: null,
  requestMs: 1,
  responseFlags: 0,
}

/** Bytes that a field's value may hold (RFC 9110 5.5), as latin1 text; plain ones are likely. */
const fieldValue = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
      { weight: 1, arbitrary: fc.integer({ min: 0x80, max: 0xff }) },
      { weight: 1, arbitrary: fc.constantFrom(0x09, 0x22, 0x5c, 0x25) },
    ),
    { maxLength: 60 },
  )
  .map((bytes) => Buffer.from(bytes).toString('latin1'))
/** Text of any characters, as the latin1 reading of its UTF-8. */
const utf8Value = fc
  .string({ unit: 'binary', maxLength: 20 })
  .filter((text) => !/[\p{Cc}]/u.test(text))
  .map((text) => Buffer.from(text, 'utf8').toString('latin1'))
const anyValue = fc.oneof(fieldValue, utf8Value)
const target = fc.stringMatching(/^\/[!-"$-~]{0,30}$/)

function bytesOf(policy: Buffer, path: string, value: string): Buffer | null {
  const head = `GET ${path} HTTP/1.1\r\nhost: cart.shop.localhost\r\nuser-agent: ${value}\r\n\r\n`
  const decision = decide(policy, head)
  if (decision.kind === 'failed') throw new Error(decision.reason)
  const context = decision.kind === 'denied' ? decision.denial.context : decision.context
  const response = respond(policy, context, { head: `HTTP/1.1 200 OK\r\nx-a: ${value}\r\n\r\n` })
  if (response.kind !== 'head') throw new Error(JSON.stringify(response))
  return response.log && fillLogLine(response.log, figures)
}

/** A field's value as it is parsed (RFC 9110 5.5). */
function withoutOws(value: string): string {
  return value.replace(/^[ \t]+|[ \t]+$/g, '')
}

const base = { accessLogFile: '/dev/stdout' }
const utf8 = new TextDecoder('utf-8', { fatal: true })

describe('every log line', () => {
  test('in JSON is valid UTF-8, parses, and has the same keys in the same order', () => {
    const format = {
      path: '%REQ(:PATH)%',
      agent: '%REQ(USER-AGENT)%',
      'k"ey': { a: '%RESP(X-A)%', b: '<%RESP(X-A):5%>', c: ['%REQ(X-NONE)%', '%DURATION%'] },
      last: '%RESPONSE_DURATION%',
    }
    const policy = policyOf({ ...base, accessLogEncoding: 'JSON', accessLogFormat: JSON.stringify(format) })
    fc.assert(
      fc.property(target, anyValue, (path, value) => {
        const parsed = JSON.parse(utf8.decode(bytesOf(policy, path, value)!))
        assert.deepEqual(Object.keys(parsed), Object.keys(format))
        assert.deepEqual(Object.keys(parsed['k"ey']), ['a', 'b', 'c'])
        assert.deepEqual(parsed['k"ey'].c, [null, 1])
        assert.equal(parsed.last, null)
      }),
      { numRuns: 1000 },
    )
  })

  test('in JSON shows text as it was sent', () => {
    const format = JSON.stringify({ agent: '%REQ(USER-AGENT)%' })
    const policy = policyOf({ ...base, accessLogEncoding: 'JSON', accessLogFormat: format })
    fc.assert(
      fc.property(utf8Value, (value) => {
        const parsed = JSON.parse(utf8.decode(bytesOf(policy, '/', value)!))
        assert.equal(parsed.agent, Buffer.from(withoutOws(value), 'latin1').toString('utf8'))
      }),
      { numRuns: 1000 },
    )
  })

  test('in text is printable ASCII, keeps its quotes balanced, and can be read back', () => {
    const policy = policyOf({ ...base, accessLogFormat: '"%REQ(:PATH)%" "%REQ(USER-AGENT)%" "%RESP(X-A)%"' })
    fc.assert(
      fc.property(target, anyValue, (path, value) => {
        const line = bytesOf(policy, path, value)!.toString('latin1')
        assert.match(line, /^[ -~]*$/)
        const match = /^"([^"]*)" "([^"]*)" "([^"]*)"$/.exec(line)
        assert.ok(match, line)
        const read = (text: string) =>
          text.replace(/\\x([0-9A-F]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)))
        const sent = withoutOws(value)
        assert.equal(read(match[2]!), sent)
        assert.equal(read(match[3]!), sent)
      }),
      { numRuns: 1000 },
    )
  })

  test('shows the time that JavaScript shows', () => {
    const policy = policyOf({ ...base, accessLogFormat: '%START_TIME%|%START_TIME(%F %T.%3f %j %w %s)%' })
    const dayOfYear = (date: Date) =>
      (Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()) -
        Date.UTC(date.getUTCFullYear(), 0, 1)) /
        86_400_000 +
      1
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (now) => {
        const decision = decide(policy, 'GET / HTTP/1.1\r\nhost: cart.shop.localhost\r\n\r\n', { now })
        if (decision.kind !== 'forward') throw new Error(JSON.stringify(decision))
        const response = respond(policy, decision.context)
        if (response.kind !== 'head') throw new Error(JSON.stringify(response))
        const date = new Date(now)
        const iso = date.toISOString()
        const other = `${iso.slice(0, 10)} ${iso.slice(11, 23)} ${String(dayOfYear(date)).padStart(3, '0')} ${date.getUTCDay()} ${Math.floor(now / 1000)}`
        assert.equal(fillLogLine(response.log!, figures).toString(), `${iso}|${other}`)
      }),
      { numRuns: 1000 },
    )
  })

  test('stays whole where values are huge', () => {
    const format = JSON.stringify(
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`a${i}`, '%REQ(USER-AGENT)%'])),
    )
    const policy = policyOf({ ...base, accessLogEncoding: 'JSON', accessLogFormat: format })
    for (const size of [4000, 4096, 4097, 8000, 12_000, 16_000]) {
      for (const byte of ['a', '\xff', '"', 'a"']) {
        const parsed = JSON.parse(bytesOf(policy, '/', byte.repeat(size / byte.length))!.toString())
        assert.equal(Object.keys(parsed).length, 20)
        assert.match(parsed.a0, /^(a+|ÿ+|"+|(a")+a?)$/)
        assert.ok(parsed.a0.length <= 4096)
      }
    }
  })
})
