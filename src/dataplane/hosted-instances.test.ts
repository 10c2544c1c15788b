import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { Endpoint, Waiter, WaitRefusal } from './endpoint-set.ts'
import { HostedInstances } from './hosted-instances.ts'

const here = (id: string) => ({ id, host: '127.0.0.1', port: 9000 })

function waiter() {
  const heard: (Endpoint | WaitRefusal)[] = []
  const one: Waiter & { heard: typeof heard } = {
    heard,
    choice: null,
    granted: (endpoint) => heard.push(endpoint),
    refused: (refusal) => heard.push(refusal),
  }
  return one
}

test('a request gets the instance that its sender chose', () => {
  const hosted = new HostedInstances()
  hosted.update([here('a'), here('b')])
  const one = waiter()
  hosted.source('b').acquire(one)
  const [endpoint] = one.heard as Endpoint[]
  assert.equal(endpoint!.id, 'b')
  assert.equal(endpoint!.inFlight, 1)
  hosted.source('b').release(endpoint!, one)
  assert.equal(endpoint!.inFlight, 0)
  hosted.update([here('a')])
  assert.ok(endpoint!.gone)
})

test('a request that comes before the word of its instance waits for that, for a bounded time', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const hosted = new HostedInstances()
  const [early, lost, cancelled] = [waiter(), waiter(), waiter()]
  hosted.source('a').acquire(early)
  hosted.source('never').acquire(lost)
  hosted.source('a').acquire(cancelled)
  hosted.source('a').cancel(cancelled)
  mock.timers.tick(1_000)
  hosted.update([here('a')])
  assert.equal((early.heard[0] as Endpoint).id, 'a')
  assert.deepEqual(lost.heard, [])
  mock.timers.tick(1_000)
  assert.deepEqual(lost.heard, [{ kind: 'unreachable', addresses: 'the instance never' }])
  assert.deepEqual(cancelled.heard, [])
})

test('nobody waits for an instance that was here and is gone, unless it is back', () => {
  const hosted = new HostedInstances()
  hosted.update([here('a'), here('b')])
  hosted.update([here('b')])
  const [late, back] = [waiter(), waiter()]
  hosted.source('a').acquire(late)
  assert.deepEqual(late.heard, [{ kind: 'unreachable', addresses: 'the instance a' }])
  hosted.update([here('a'), here('b')])
  hosted.source('a').acquire(back)
  assert.equal((back.heard[0] as Endpoint).id, 'a')
})

test('an instance that refuses a connection is not tried again here', () => {
  const hosted = new HostedInstances()
  hosted.update([here('a')])
  const one = waiter()
  const source = hosted.source('a')
  source.acquire(one)
  const [endpoint] = one.heard as Endpoint[]
  source.refused(endpoint!, one)
  assert.equal((one.heard[1] as WaitRefusal).kind, 'unreachable')
  assert.equal(endpoint!.inFlight, 0)
})

test('no more than so many wait, and none when the function is gone', () => {
  const hosted = new HostedInstances()
  const waiting = Array.from({ length: 1_024 }, waiter)
  for (const one of waiting) hosted.source('a').acquire(one)
  const over = waiter()
  hosted.source('a').acquire(over)
  assert.equal((over.heard[0] as WaitRefusal).kind, 'queue-full')
  hosted.close()
  assert.ok(waiting.every(({ heard }) => (heard[0] as WaitRefusal).kind === 'unreachable'))
})
