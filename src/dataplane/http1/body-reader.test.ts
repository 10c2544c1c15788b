import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH, BODY_NONE } from '../../sidecar/layout/record.ts'
import { BodyReader } from './body-reader.ts'
import { endBody, writeBody } from './body-writer.ts'

const MAX_TRAILERS = 256

function readAll(reader: BodyReader, pieces: Buffer[]): { body: string; rest: string } {
  const slices: Buffer[] = []
  let rest = ''
  for (const piece of pieces) {
    const end = reader.read(piece, 0, slices)
    if (reader.bad) break
    rest += piece.subarray(end).toString('latin1')
  }
  return { body: Buffer.concat(slices).toString('latin1'), rest }
}

const split = (bytes: Buffer, cuts: number[]): Buffer[] => {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((start, i) => bytes.subarray(start, at[i] ?? bytes.length))
}

test('a body is read the same however its bytes are cut, and what follows it is left', () => {
  const chunk = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(
      fc.array(chunk),
      fc.array(fc.nat()),
      fc.constantFrom('', 'GET / HTTP/1.1\r\n'),
      (chunks, cuts, next) => {
        const out: Buffer[] = []
        for (const text of chunks) writeBody(BODY_CHUNKED, [Buffer.from(text, 'latin1')], out)
        endBody(BODY_CHUNKED, null, out)
        const wire = Buffer.concat([...out, Buffer.from(next)])
        const reader = new BodyReader(BODY_CHUNKED, 0, MAX_TRAILERS)
        const read = readAll(reader, split(wire, cuts))
        assert.deepEqual(read, { body: chunks.join(''), rest: next })
        assert.equal(reader.done, true)
      },
    ),
  )
})

test('lengths', () => {
  const reader = new BodyReader(BODY_LENGTH, 5, MAX_TRAILERS)
  assert.deepEqual(readAll(reader, [Buffer.from('hel'), Buffer.from('loGET')]), {
    body: 'hello',
    rest: 'GET',
  })
  assert.equal(reader.done, true)
  assert.equal(new BodyReader(BODY_LENGTH, 0, MAX_TRAILERS).done, true)
  assert.equal(new BodyReader(BODY_NONE, 0, MAX_TRAILERS).done, true)
})

test('a close-delimited body ends with the connection; any other is broken by it', () => {
  const close = new BodyReader(BODY_CLOSE, 0, MAX_TRAILERS)
  assert.equal(readAll(close, [Buffer.from('abc')]).body, 'abc')
  close.end()
  assert.equal(close.done, true)
  for (const reader of [
    new BodyReader(BODY_LENGTH, 3, MAX_TRAILERS),
    new BodyReader(BODY_CHUNKED, 0, MAX_TRAILERS),
  ]) {
    reader.end()
    assert.equal(reader.bad, true)
  }
})

test('trailers are handed over as received', () => {
  for (const cuts of [[], [6], [7, 9, 11], [3, 20]]) {
    const reader = new BodyReader(BODY_CHUNKED, 0, MAX_TRAILERS)
    const read = readAll(reader, split(Buffer.from('1\r\na\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\nGET'), cuts))
    assert.deepEqual(read, { body: 'a', rest: 'GET' }, `cuts ${cuts}`)
    assert.equal(reader.trailers.toString(), 'x-a: 1\r\nx-b: 2\r\n\r\n')
  }
})

for (const [name, wire] of [
  ['no size', '\r\nabc\r\n'],
  ['a sign', '+1\r\na\r\n'],
  ['0x', '0x1\r\na\r\n'],
  ['a space before the size', ' 1\r\na\r\n'],
  ['a space after the size', '1 \r\na\r\n'],
  ['a bare LF after the size', '1\na\r\n'],
  ['a bare CR after the size', '1\ra\r\n'],
  ['a size beyond 2^53', '10000000000000\r\na'],
  ['too many leading zeros', '00000000000001\r\na'],
  ['data longer than its size', '1\r\nab\r\n'],
  ['a bare LF after the data', '1\r\na\n'],
  ['a control byte in an extension', '1;a=\x01\r\na\r\n'],
  ['a bare LF in an extension', '1;a\n\r\na\r\n'],
  ['an endless extension', `1;${'x'.repeat(2000)}\r\na\r\n`],
  ['endless trailers', `0\r\nx: ${'y'.repeat(400)}`],
  ['trailers over the bound', `0\r\nx: ${'y'.repeat(300)}\r\n\r\n`],
] as const) {
  test(`a chunked body with ${name} is bad`, () => {
    const reader = new BodyReader(BODY_CHUNKED, 0, MAX_TRAILERS)
    readAll(reader, [Buffer.from(wire, 'latin1')])
    assert.equal(reader.bad, true)
    assert.equal(reader.done, false)
  })
}

test('random bytes are never read past their end and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const input = Buffer.from(bytes)
      const slices: Buffer[] = []
      const end = new BodyReader(BODY_CHUNKED, 0, MAX_TRAILERS).read(input, 0, slices)
      assert.ok(end >= 0 && end <= input.length)
    }),
  )
})
