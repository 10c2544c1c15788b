import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  HOLE_ABSENT_NULL,
  HOLE_BYTES_RECEIVED,
  HOLE_BYTES_SENT,
  HOLE_DURATION,
  HOLE_QUOTED,
  HOLE_REQUEST_DURATION,
  HOLE_RESPONSE_DURATION,
  HOLE_RESPONSE_FLAGS,
  HOLE_RESPONSE_FLAGS_LONG,
  HOLE_RESPONSE_TX_DURATION,
  HOLE_UPSTREAM_TIME,
  RESPONSE_FLAG_DC,
  RESPONSE_FLAG_UF,
} from '../sidecar/layout/record.ts'
import { type ExchangeFigures, fillLogLine } from './log-line.ts'

const ended: ExchangeFigures = {
  bytesReceived: 10,
  bytesSent: 2 ** 40,
  durationMs: 99.9,
  responseMs: 70.5,
  requestMs: 3.999,
  upstreamMs: 60.2,
  responseFlags: RESPONSE_FLAG_UF | RESPONSE_FLAG_DC,
}
const broken: ExchangeFigures = {
  bytesReceived: 0,
  bytesSent: 0,
  durationMs: 0,
  responseMs: null,
  requestMs: null,
  responseFlags: 0,
}

function fill(text: string, holes: number[], figures: ExchangeFigures): string {
  return fillLogLine({ text: Buffer.from(text), holes: Uint32Array.from(holes) }, figures).toString()
}

const one = (kind: number, figures: ExchangeFigures) => fill('', [0, kind], figures)

test('each kind of figure', () => {
  const kinds: [number, string, string][] = [
    [HOLE_BYTES_RECEIVED, '10', '0'],
    [HOLE_BYTES_SENT, '1099511627776', '0'],
    [HOLE_DURATION, '99', '0'],
    [HOLE_RESPONSE_DURATION, '70', '-'],
    [HOLE_REQUEST_DURATION, '3', '-'],
    [HOLE_RESPONSE_TX_DURATION, '29', '-'],
    [HOLE_UPSTREAM_TIME, '60', '-'],
    [HOLE_RESPONSE_FLAGS, 'UF,DC', '-'],
    [HOLE_RESPONSE_FLAGS_LONG, 'UpstreamConnectionFailure,DownstreamConnectionTermination', '-'],
  ]
  for (const [kind, whole, none] of kinds) {
    assert.equal(one(kind, ended), whole)
    assert.equal(one(kind, broken), none)
    assert.equal(one(kind | HOLE_QUOTED, ended), `"${whole}"`)
    const absent = [
      HOLE_RESPONSE_DURATION,
      HOLE_REQUEST_DURATION,
      HOLE_RESPONSE_TX_DURATION,
      HOLE_UPSTREAM_TIME,
    ].includes(kind)
    assert.equal(one(kind | HOLE_ABSENT_NULL | HOLE_QUOTED, broken), absent ? 'null' : `"${none}"`)
  }
})

test('a clock that went backwards gives 0', () => {
  assert.equal(one(HOLE_RESPONSE_TX_DURATION, { ...ended, durationMs: 1 }), '0')
})

test('figures go before the byte at their offset, in any number, into text of any bytes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.nat(300), { maxLength: 64 }),
      (bytes, offsets) => {
        const at = offsets.map((offset) => Math.min(offset, bytes.length)).sort((a, b) => a - b)
        const holes = Uint32Array.from(at.flatMap((offset) => [offset, HOLE_BYTES_RECEIVED]))
        const parts: Buffer[] = []
        let from = 0
        for (const offset of at) {
          parts.push(Buffer.from(bytes.subarray(from, offset)), Buffer.from('10'))
          from = offset
        }
        parts.push(Buffer.from(bytes.subarray(from)))
        assert.deepEqual(fillLogLine({ text: Buffer.from(bytes), holes }, ended), Buffer.concat(parts))
      },
    ),
    { numRuns: 500 },
  )
})
