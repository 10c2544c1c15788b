import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type AccessLog, openAccessLog } from './access-log-writer.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-log-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const newFile = () => join(folder, `${++files}.log`)
const line = (text: string) => Buffer.from(text)
const linesOf = (file: string) => readFileSync(file, 'utf8').split('\n').slice(0, -1)

/** Waits until so many lines have met their fate. */
async function settled(log: AccessLog, count: number): Promise<void> {
  const { counters } = log
  while (counters.written + counters.dropped + counters.failed < count)
    await new Promise((resolve) => setImmediate(resolve))
}

describe('an access log', () => {
  test('writes lines in order, when the batch is full, at the interval, and when it is closed', async () => {
    const file = newFile()
    const log = openAccessLog(file, { batchBytes: 20, intervalMs: 5 })
    const sent = Array.from({ length: 1000 }, (_, i) => `line ${i}`)
    for (const text of sent.slice(0, 990)) log.write(line(text))
    await settled(log, 990)
    assert.deepEqual(linesOf(file), sent.slice(0, 990))
    log.write(line(sent[990]!))
    // Below the batch's size: only the interval writes it.
    await settled(log, 991)
    for (const text of sent.slice(991)) log.write(line(text))
    await log.close()
    assert.deepEqual(linesOf(file), sent)
    assert.deepEqual(log.counters, { written: 1000, dropped: 0, failed: 0 })
  })

  test('closes at once where no write is under way', () => {
    const file = newFile()
    const log = openAccessLog(file, { intervalMs: 60_000 })
    log.write(line('last'))
    log.close()
    assert.deepEqual(linesOf(file), ['last'])
    log.write(line('too late'))
    assert.deepEqual(log.counters, { written: 1, dropped: 1, failed: 0 })
  })

  test('drops and counts what is over its bound, and holds no more', async () => {
    const file = newFile()
    const log = openAccessLog(file, { batchBytes: 100, maxBytes: 1000, intervalMs: 60_000 })
    // None of this lets the event loop turn, so the first batch is still being written.
    for (let i = 0; i < 500; i++) log.write(line('123456789'))
    const { dropped } = log.counters
    assert.equal(dropped, 400)
    await log.close()
    assert.equal(linesOf(file).length, 100)
    assert.deepEqual(log.counters, { written: 100, dropped: 400, failed: 0 })
  })

  test('drops a line that is larger than all that may wait', async () => {
    const log = openAccessLog(newFile(), { maxBytes: 100 })
    log.write(Buffer.alloc(100))
    log.write(Buffer.alloc(99))
    await log.close()
    assert.deepEqual(log.counters, { written: 1, dropped: 1, failed: 0 })
  })

  test('goes on in a new file when it is told to reopen', async () => {
    const file = newFile()
    const moved = newFile()
    const log = openAccessLog(file, { batchBytes: 1, intervalMs: 5 })
    log.write(line('one'))
    await settled(log, 1)
    renameSync(file, moved)
    log.write(line('two'))
    // The write of "two" is under way, on the old file.
    log.reopen()
    log.write(line('three'))
    log.reopen()
    log.write(line('four'))
    await log.close()
    assert.deepEqual([...linesOf(moved), ...linesOf(file)], ['one', 'two', 'three', 'four'])
    assert.deepEqual(linesOf(file).at(-1), 'four')
  })

  test('says once that it cannot write, counts what is lost, and recovers', async () => {
    const missing = join(folder, 'missing')
    const file = join(missing, 'a.log')
    const said: string[] = []
    const log = openAccessLog(file, { batchBytes: 1, onError: (message) => said.push(message) })
    log.write(line('one'))
    log.write(line('two'))
    await settled(log, 2)
    assert.deepEqual(log.counters, { written: 0, dropped: 0, failed: 2 })
    assert.equal(said.length, 1)
    assert.match(said[0]!, /a\.log: ENOENT/)
    const { mkdirSync } = await import('node:fs')
    mkdirSync(missing)
    log.write(line('three'))
    await log.close()
    assert.deepEqual(linesOf(file), ['three'])
    assert.equal(said.length, 1)
  })

  test('counts lines as failed where the disk takes none', { skip: !existsSync('/dev/full') }, async () => {
    const said: string[] = []
    const log = openAccessLog('/dev/full', { batchBytes: 1, onError: (message) => said.push(message) })
    log.write(line('one'))
    await settled(log, 1)
    log.write(line('two'))
    await log.close()
    assert.deepEqual(log.counters, { written: 0, dropped: 0, failed: 2 })
    assert.equal(said.length, 1)
    assert.match(said[0]!, /ENOSPC/)
  })
})

describe('standard output', () => {
  const module = JSON.stringify(new URL('./access-log-writer.ts', import.meta.url).href)
  const program = (body: string) => [
    '--input-type=module',
    '-e',
    `import { openAccessLog } from ${module}\n${body}`,
  ]

  test('takes the lines', async () => {
    const body = `const log = openAccessLog('')\nlog.write(Buffer.from('one'))\nlog.write(Buffer.from('two'))\nawait log.close()`
    const child = spawn(process.execPath, program(body), { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    const [status] = await once(child, 'close')
    assert.deepEqual([status, output], [0, 'one\ntwo\n'])
  })

  test('that nobody reads holds nobody up: lines are dropped, and those that are kept are whole', async () => {
    const body = `
      const log = openAccessLog('/dev/stdout', { maxBytes: 200_000, intervalMs: 1 })
      for (let i = 0; i < 20_000; i++) {
        log.write(Buffer.from('x'.repeat(99)))
        if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      process.send(log.counters)
      process.once('message', async () => {
        await log.close()
        process.send(log.counters)
        process.disconnect()
      })`
    const child = spawn(process.execPath, program(body), { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    const [blocked] = (await once(child, 'message')) as [AccessLog['counters']]
    assert.ok(blocked.dropped > 10_000, `dropped ${blocked.dropped}`)
    let output = ''
    child.stdout!.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    child.send('close')
    const [ended] = (await once(child, 'message')) as [AccessLog['counters']]
    await once(child, 'close')
    const lines = output.split('\n')
    assert.equal(lines.pop(), '')
    assert.equal(lines.length, ended.written)
    assert.ok(lines.every((text) => text === 'x'.repeat(99)))
    assert.equal(ended.written + ended.dropped + ended.failed, 20_000)
  })
})
