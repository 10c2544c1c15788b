import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { RetryPlan } from '../policy/route-plan.ts'
import {
  DEFAULT_SETTINGS,
  type PoolSettings,
  type RetryBudget,
  type TrafficSettings,
} from '../policy/traffic-settings.ts'
import { Circuit, type CircuitSurroundings } from './circuit.ts'
import { type Endpoint, EndpointSet, type Waiter, type WaitRefusal } from './endpoint-set.ts'
import { Attempts } from './http1/attempts.ts'
import type { Choice } from './instance-choice.ts'

const surroundings: CircuitSurroundings = {
  counters: { outliersEjected: 0, outliersKept: 0 },
  random: () => 0.5,
  now: () => 0,
}
const circuit = (more: Partial<TrafficSettings> = {}, hasInstances = true) =>
  new Circuit({ settings: { ...DEFAULT_SETTINGS, ...more }, hasInstances }, surroundings)
const pool = (more: Partial<PoolSettings>) => ({ pool: { ...DEFAULT_SETTINGS.pool, ...more } })
const plan: RetryPlan = {
  attempts: 9,
  perTryTimeoutMs: null,
  backOffMs: 25,
  conditions: ['5xx'],
  statuses: [],
  avoidsPrevious: true,
}

class Request implements Waiter {
  readonly choice: Choice | null
  endpoint: Endpoint | null = null
  refusal: WaitRefusal | null = null

  constructor(choice: Choice | null) {
    this.choice = choice
  }

  granted(endpoint: Endpoint): void {
    assert.equal(this.endpoint ?? this.refusal, null, 'told twice')
    this.endpoint = endpoint
  }

  refused(refusal: WaitRefusal): void {
    assert.equal(this.endpoint ?? this.refusal, null, 'told twice')
    this.refusal = refusal
  }
}

function world(...slots: (number | null)[]) {
  const set = new EndpointSet('ns/fn', () => 100, { active() {}, urgent() {}, returned() {} })
  set.update(
    slots.map((slot, i) => ({ id: `${i}`, host: '127.0.0.1', port: 80 + i, slots: slot })),
    false,
  )
  const ask = (choice: Partial<Choice> | null = {}) => {
    const request = new Request(choice && { circuit: null, hash: null, tried: null, ...choice })
    set.acquire(request)
    return request
  }
  return { set, ask }
}

test('a budget of retries is a part of what is under way, and a least number', () => {
  const budgets: [RetryBudget, number, number, number][] = [
    [{ kind: 'percent', percent: 20, least: 3 }, 0, 0, 3],
    [{ kind: 'percent', percent: 20, least: 3 }, 15, 4, 3],
    [{ kind: 'percent', percent: 20, least: 3 }, 20, 5, 5],
    [{ kind: 'percent', percent: 100, least: 0 }, 2, 0, 2],
    [{ kind: 'percent', percent: 0, least: 0 }, 50, 0, 0],
    [{ kind: 'fixed', most: 2 }, 100, 0, 2],
  ]
  for (const [retryBudget, active, pending, expected] of budgets) {
    const one = circuit({ retryBudget })
    Object.assign(one, { active, pending })
    let room = 0
    while (one.mayRetry) {
      one.retries++
      room++
    }
    assert.equal(room, expected, JSON.stringify(retryBudget))
  }
})

test('the back-off is drawn below a base that doubles up to ten times itself', () => {
  const attempts = new Attempts(plan, circuit(), () => 0.5)
  const waits = Array.from({ length: 7 }, () => attempts.next())
  assert.deepEqual(waits, [12.5, 25, 50, 100, 125, 125, 125])
})

test('a retry counts from its decision to the end of its attempt, once', () => {
  const one = circuit()
  const attempts = new Attempts(plan, one, () => 0)
  assert.equal(one.retries, 0)
  attempts.next()
  assert.equal(one.retries, 1)
  attempts.next()
  assert.equal(one.retries, 1)
  attempts.end()
  attempts.end()
  assert.equal(one.retries, 0)
})

test('instances that were tried are passed over while another one is free, and taken where none is', () => {
  const { set, ask } = world(1, 1, 1)
  const [first, second] = set.endpoints
  assert.equal(ask({ tried: new Set([first!, second!]) }).endpoint!.id, '2')
  assert.ok(['0', '1'].includes(ask({ tried: new Set([first!, second!]) }).endpoint!.id))
})

test('who waits for its own circuit keeps nobody of another waiting', () => {
  const { set, ask } = world(null)
  const narrow = circuit(pool({ maxConnections: 1 }))
  const [first, second] = [ask({ circuit: narrow }), ask({ circuit: narrow })]
  assert.equal(second.endpoint, null)
  assert.notEqual(ask({ circuit: circuit() }).endpoint, null)
  assert.notEqual(ask({ tried: new Set() }).endpoint, null)
  set.release(first.endpoint!, first)
  assert.notEqual(second.endpoint, null)
  assert.equal(narrow.connections, 1)
})

test('a subset without instances refuses at once, and a function without any waits for one', () => {
  const { ask } = world(null)
  assert.deepEqual(ask({ circuit: circuit({}, false) }).refusal, { kind: 'unhealthy' })
  assert.equal(world().ask({ circuit: circuit() }).refusal, null)
})

test('whatever happens, no circuit has more connections than it may, and none is lost', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('ask' as const), by: fc.nat(3) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('end' as const), nth: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), nth: fc.nat(9) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('update' as const),
        slots: fc.array(fc.nat(3), { maxLength: 3 }),
      }),
    },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), fc.nat(3), (steps, most) => {
      const { set, ask } = world(2, 1)
      const circuits = [
        circuit(pool({ maxConnections: most + 1 })),
        circuit(pool({ maxConnections: 1 })),
        circuit(),
      ]
      const requests: Request[] = []
      const gone = new Set<Request>()
      for (const one of steps) {
        const flying = requests.filter((request) => request.endpoint && !gone.has(request))
        const waiting = requests.filter(
          (request) => !request.endpoint && !request.refusal && !gone.has(request),
        )
        if (one.kind === 'ask') requests.push(one.by === 3 ? ask(null) : ask({ circuit: circuits[one.by]! }))
        if (one.kind === 'end' && flying[one.nth]) {
          const ended = flying[one.nth]!
          gone.add(ended)
          set.release(ended.endpoint!, ended)
        }
        if (one.kind === 'cancel' && waiting[one.nth]) {
          gone.add(waiting[one.nth]!)
          set.cancel(waiting[one.nth]!)
        }
        if (one.kind === 'update')
          set.update(
            one.slots.map((slots, i) => ({ id: `${i}`, host: '127.0.0.1', port: 80 + i, slots })),
            false,
          )
        circuits.forEach((by, i) => {
          const held = requests.filter(({ endpoint, choice }) => endpoint && choice?.circuit === by)
          assert.equal(by.connections, held.filter((request) => !gone.has(request)).length)
          assert.ok(by.connections <= [most + 1, 1, Number.POSITIVE_INFINITY][i]!)
        })
        const left = requests.filter((request) => !request.endpoint && !request.refusal && !gone.has(request))
        for (const { choice } of left) {
          if (choice?.circuit?.full) continue
          assert.ok(
            set.endpoints.every(({ inFlight, slots }) => inFlight >= slots),
            'a slot is free for one that waits',
          )
        }
      }
    }),
  )
})
