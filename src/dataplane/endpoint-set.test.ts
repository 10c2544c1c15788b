import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Endpoint, EndpointSet, type Waiter, type WaitRefusal } from './endpoint-set.ts'

/** A request: what became of it, and how often it was told. */
class Request implements Waiter {
  readonly choice = null
  endpoint: Endpoint | null = null
  refusal: WaitRefusal | null = null
  told = 0

  granted(endpoint: Endpoint): void {
    this.endpoint = endpoint
    this.told++
  }

  refused(refusal: WaitRefusal): void {
    this.refusal = refusal
    this.told++
  }
}

function world(maxQueued = 10) {
  const log: string[] = []
  const set = new EndpointSet('ns/fn', () => maxQueued, {
    active: () => log.push('active'),
    urgent: () => log.push('urgent'),
    returned: (_, endpoint, slots) => log.push(`returned ${endpoint} ${slots}`),
  })
  const ask = () => {
    const request = new Request()
    set.acquire(request)
    return request
  }
  /** What control was told since the last call. */
  return { set, ask, log: () => log.splice(0) }
}

const slice = (id: string, slots: number | null = null) => ({ id, host: '127.0.0.1', port: 80, slots })
const reached = (requests: Request[]) => requests.map(({ endpoint }) => endpoint?.id ?? null)

test('requests go to the instance with the fewest, in turn among equals', () => {
  const { set, ask } = world()
  set.update([slice('a'), slice('b'), slice('c')], false)
  const requests = Array.from({ length: 6 }, ask)
  assert.deepEqual(reached(requests).sort(), ['a', 'a', 'b', 'b', 'c', 'c'])
  for (const request of requests) if (request.endpoint!.id === 'b') set.release(request.endpoint!, request)
  assert.deepEqual(reached([ask(), ask()]), ['b', 'b'])
})

test('requests wait for a slot and get it in the order in which they came', () => {
  const { set, ask, log } = world()
  const [first, second, third] = [ask(), ask(), ask()]
  assert.deepEqual(log(), ['active', 'urgent', 'urgent', 'urgent'])
  set.update([slice('a', 1)], false)
  assert.deepEqual(reached([first!, second!, third!]), ['a', null, null])
  const late = ask()
  set.release(first!.endpoint!, first!)
  assert.deepEqual(reached([second!, third!, late]), ['a', null, null])
  set.cancel(third!)
  set.release(second!.endpoint!, second!)
  assert.deepEqual(reached([third!, late]), [null, 'a'])
})

test('control hears when no more requests are under way than it left slots for', () => {
  const { set, ask, log } = world()
  set.update([slice('a', 3)], false)
  const requests = [ask(), ask(), ask()]
  log()
  set.update([slice('a', 1)], false)
  assert.deepEqual(log(), [])
  set.release(requests[0]!.endpoint!, requests[0]!)
  assert.deepEqual(log(), [])
  set.release(requests[1]!.endpoint!, requests[1]!)
  assert.deepEqual(log(), ['returned a 1'])
  const waiting = ask()
  assert.equal(waiting.told, 0)
  set.update([slice('a', 0)], false)
  set.release(requests[2]!.endpoint!, requests[2]!)
  assert.equal(waiting.told, 0)
  assert.ok(log().includes('returned a 0'))
})

test('what is under way at an instance counts when it comes back, and control hears when nothing is', () => {
  const { set, ask, log } = world()
  set.update([slice('a', 2)], false)
  const [first, second] = [ask(), ask()]
  log()
  set.update([], false)
  assert.deepEqual(log(), [])
  set.release(first!.endpoint!, first!)
  set.update([slice('a', 1)], false)
  assert.equal(ask().endpoint, null)
  log()
  set.update([], false)
  set.release(second!.endpoint!, second!)
  assert.ok(log().includes('returned a 0'))
})

test('an instance that is taken away unused is given back at once', () => {
  const { set, log } = world()
  set.update([slice('a', 2)], false)
  log()
  set.update([], false)
  assert.deepEqual(log(), ['returned a 0'])
})

test('the queue is bounded', () => {
  const { ask } = world(2)
  const requests = [ask(), ask(), ask()]
  assert.deepEqual(
    requests.map(({ refusal }) => refusal),
    [null, null, { kind: 'queue-full', limit: 2 }],
  )
})

test('a bound of zero lets through what need not wait', () => {
  const { set, ask } = world(0)
  set.update([slice('a', 1)], false)
  assert.equal(ask().endpoint!.id, 'a')
  assert.equal(ask().refusal!.kind, 'queue-full')
})

test('a failed start is told to those who wait and to those who come before the next one', () => {
  const { set, ask } = world()
  const waiting = ask()
  const failing = { kind: 'failing', reason: 'no', retryAt: Date.now() + 60_000 } as const
  set.fail(failing.reason, failing.retryAt)
  assert.deepEqual([waiting.refusal, ask().refusal], [failing, failing])
  set.update([slice('a')], false)
  assert.equal(ask().endpoint!.id, 'a')
})

test('while instances are there, a start that fails turns nobody away; after the pause, requests wait again', () => {
  const { set, ask } = world()
  set.update([slice('a')], false)
  set.fail('no', Date.now() + 60_000)
  assert.equal(ask().endpoint!.id, 'a')
  const alone = world()
  alone.set.fail('no', Date.now())
  assert.equal(alone.ask().told, 0)
})

test('an instance that refuses a connection is passed over while there is another', () => {
  const { set, ask } = world()
  set.update([slice('a'), slice('b')], false)
  const request = ask()
  const dead = request.endpoint!
  set.refused(dead, request)
  assert.notEqual(request.endpoint, dead)
  assert.equal(reached(Array.from({ length: 8 }, ask)).includes(dead.id), false)
  assert.equal(dead.inFlight, 0)
})

test('where every server of somebody else refuses, so does the engine, and names them', () => {
  const { set, ask } = world()
  set.update([slice('a'), slice('b')], true)
  const request = ask()
  set.refused(request.endpoint!, request)
  set.refused(request.endpoint!, request)
  const refusal = { kind: 'unreachable', addresses: '127.0.0.1:80, 127.0.0.1:80' } as const
  assert.deepEqual([request.refusal, ask().refusal], [refusal, refusal])
})

test('a deleted function refuses who waits and who comes, and control hears of each last request', () => {
  const { set, ask, log } = world()
  set.update([slice('a', 1), slice('b', 1)], false)
  const requests = [ask(), ask(), ask()]
  set.release(requests[1]!.endpoint!, requests[1]!) // the third has its slot now
  const waiting = ask()
  log()
  set.close('gone')
  assert.deepEqual(
    [waiting.refusal, ask().refusal],
    [
      { kind: 'deleted', reason: 'gone' },
      { kind: 'deleted', reason: 'gone' },
    ],
  )
  set.release(requests[0]!.endpoint!, requests[0]!)
  set.release(requests[2]!.endpoint!, requests[2]!)
  assert.deepEqual(
    log()
      .filter((line) => line.startsWith('returned'))
      .sort(),
    ['returned a 0', 'returned b 0'],
  )
})

test('figures are told until they are zero, once', () => {
  const { set, ask } = world()
  set.update([slice('a', 1)], false)
  const request = ask()
  ask()
  assert.deepEqual(set.report(), { key: 'ns/fn', waiting: 1, inFlight: 1, begun: 2 })
  assert.equal(set.settled(), false)
  set.update([slice('a', 2)], false)
  for (let i = 0; i < 2; i++) set.release(request.endpoint!, request)
  assert.deepEqual(set.report(), { key: 'ns/fn', waiting: 0, inFlight: 0, begun: 0 })
  assert.equal(set.report(), null)
  assert.equal(set.settled(), true)
})

test('whatever happens, each request is told once, no slot is used twice, none stays free while somebody waits', () => {
  const action = fc.oneof(
    { weight: 4, arbitrary: fc.constant({ kind: 'ask' as const }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('end' as const), nth: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), nth: fc.nat(9) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('update' as const),
        slots: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.nat(3)),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'fail' as const }) },
  )
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
      const { set, ask } = world(5)
      const requests: Request[] = []
      const cancelled = new Set<Request>()
      const flying: Request[] = []
      /** Requests that were granted an instance since the last call. */
      const begun = () => {
        const fresh = requests.filter((one) => one.endpoint !== null && !known.has(one))
        for (const one of fresh) known.add(one)
        return fresh
      }
      const known = new Set<Request>()
      let allowed: Record<string, number> = {}
      for (const step of actions) {
        // Also at instances that are not in use now and may come back.
        const before = new Map<string, number>()
        for (const { endpoint } of flying) before.set(endpoint!.id, (before.get(endpoint!.id) ?? 0) + 1)
        if (step.kind === 'ask') requests.push(ask())
        if (step.kind === 'end') {
          const [ended] = flying.splice(step.nth, 1)
          if (ended) set.release(ended.endpoint!, ended)
        }
        if (step.kind === 'cancel') {
          const waiting = requests.filter((one) => one.told === 0 && !cancelled.has(one))[step.nth]
          if (waiting) {
            cancelled.add(waiting)
            set.cancel(waiting)
          }
        }
        if (step.kind === 'update') {
          allowed = step.slots
          set.update(
            Object.entries(allowed).map(([id, slots]) => slice(id, slots)),
            false,
          )
        }
        if (step.kind === 'fail') set.fail('no', 0)
        flying.push(...begun())
        for (const one of requests) assert.ok(one.told <= (cancelled.has(one) ? 0 : 1))
        const waiting = requests.filter((one) => one.told === 0 && !cancelled.has(one)).length
        assert.ok(waiting <= 5)
        for (const endpoint of set.endpoints) {
          const most = Math.max(allowed[endpoint.id]!, before.get(endpoint.id) ?? 0)
          assert.ok(endpoint.inFlight >= 0 && endpoint.inFlight <= most)
          if (waiting > 0) assert.ok(endpoint.inFlight >= endpoint.slots, 'a slot is free')
        }
      }
      while (flying.length > 0) {
        const last = flying.pop()!
        set.release(last.endpoint!, last)
        flying.push(...begun())
      }
      assert.ok(set.endpoints.every(({ inFlight }) => inFlight === 0))
    }),
  )
})
