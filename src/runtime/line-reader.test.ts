import assert from 'node:assert/strict'
import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { LINE_LIMITS, type LineLimits, readLines } from './line-reader.ts'

async function linesOf(chunks: Uint8Array[], limits: Partial<LineLimits> = {}) {
  const lines: string[] = []
  let dropped = 0
  const stream = Readable.from(chunks, { objectMode: false })
  readLines(
    stream,
    { line: (text) => lines.push(text), dropped: (bytes) => (dropped += bytes) },
    { ...LINE_LIMITS, ...limits },
  )
  await once(stream, 'close')
  return { lines, dropped }
}

test('lines do not depend on how the output was cut into chunks', async () => {
  const line = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => !/[\r\n]/.test(text))
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 20 }),
      fc.array(fc.nat(60), { maxLength: 30 }),
      async (lines, cuts) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''))
        const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
        const chunks = places.slice(1).map((end, i) => bytes.subarray(places[i], end))
        const seen = await linesOf(chunks.filter((chunk) => chunk.length > 0))
        assert.deepEqual(
          seen.lines,
          lines.map((text) => Buffer.from(text).toString()),
        )
      },
    ),
    { numRuns: 200 },
  )
})

test('a last line without an end counts, a carriage return at the end does not', async () => {
  assert.deepEqual((await linesOf([Buffer.from('one\r\ntwo\n\nthr\ree')])).lines, [
    'one',
    'two',
    '',
    'thr\ree',
  ])
})

test('a long line is cut and says how much is missing, whatever the chunks', async () => {
  const bytes = Buffer.from(`${'x'.repeat(25)}\nshort\n`)
  for (const size of [1, 7, 10, 26, 100]) {
    const chunks: Buffer[] = []
    for (let i = 0; i < bytes.length; i += size) chunks.push(bytes.subarray(i, i + size))
    const { lines } = await linesOf(chunks, { lineBytes: 10 })
    assert.deepEqual(lines, ['xxxxxxxxxx [cut: 15 more bytes]', 'short'])
  }
})

test('what comes too fast is dropped, counted, and never leaves half a line', async () => {
  const text = Array.from({ length: 100 }, (_, i) => `line ${i} of the flood\n`).join('')
  const chunks: Buffer[] = []
  for (let i = 0; i < text.length; i += 37) chunks.push(Buffer.from(text.slice(i, i + 37)))
  const { lines, dropped } = await linesOf(chunks, { keptBytes: 500, windowMs: 60_000 })
  assert.ok(lines.length > 5 && lines.length < 30)
  for (const line of lines) assert.match(line, /^line \d+ of the flood$/)
  assert.equal(dropped + lines.reduce((sum, line) => sum + line.length + 1, 0), text.length)
})

test('more short lines than are kept in a window are dropped, too', async () => {
  const { lines, dropped } = await linesOf(
    [Buffer.from('y\n'.repeat(1_000)), Buffer.from('y\n'.repeat(10))],
    { keptLines: 50, windowMs: 60_000 },
  )
  assert.equal(lines.length, 50)
  assert.equal(dropped, 2 * 960)
})

test('a writer faster than is read at all waits for the next window, then goes on', async () => {
  const stream = new PassThrough()
  const lines: string[] = []
  let dropped = 0
  readLines(
    stream,
    { line: (line) => lines.push(line), dropped: (bytes) => (dropped += bytes) },
    { lineBytes: 100, windowMs: 50, keptBytes: 10, keptLines: 10, readBytes: 1_000 },
  )
  const paused = once(stream, 'pause')
  stream.write(Buffer.alloc(2_000, 'x'))
  await paused
  assert.ok(stream.isPaused())
  await once(stream, 'resume')
  stream.write('\nafter\n')
  stream.end()
  await once(stream, 'close')
  assert.deepEqual(lines, ['after'])
  assert.equal(dropped, 2_001)
})
