import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { OutlierSettings } from '../policy/traffic-settings.ts'
import { type Outcome, OutlierDetector } from './outlier-detector.ts'

const settings: OutlierSettings = {
  splitsLocalErrors: false,
  consecutiveLocal: 0,
  consecutiveGateway: 0,
  consecutive5xx: 3,
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maxEjectionPercent: 100,
  minHealthPercent: 0,
}

function world(more: Partial<OutlierSettings> = {}, size = 4) {
  const counters = { outliersEjected: 0, outliersKept: 0 }
  const members = Array.from({ length: size }, (_, id) => ({ id }))
  const detector = new OutlierDetector<{ id: number }>({ ...settings, ...more }, counters, 0)
  const note = (id: number, outcomes: (number | 'failed' | 'timed-out' | 'connected')[], now = 0) => {
    for (const one of outcomes) {
      const outcome: Outcome = typeof one === 'number' ? { kind: 'status', status: one } : { kind: one }
      detector.note(members[id]!, outcome, members, now)
    }
  }
  const left = (now: number) => {
    const accepts = detector.filter(members, now)
    return members.filter((member) => accepts === null || accepts(member)).map(({ id }) => id)
  }
  return { counters, members, detector, note, left }
}

test('what counts as consecutive errors, by the settings', () => {
  const table: [
    string,
    Partial<OutlierSettings>,
    (number | 'failed' | 'timed-out' | 'connected')[],
    boolean,
  ][] = [
    ['three 5xx', {}, [500, 503, 504], true],
    ['a good answer between', {}, [500, 500, 200, 500], false],
    ['4xx are good answers', {}, [500, 500, 404, 500], false],
    ['600 is no 5xx', {}, [600, 600, 600], false],
    ['failures count as 5xx', {}, ['failed', 'timed-out', 500], true],
    ['a connection that is made ends no row of 5xx', {}, [500, 'connected', 500, 'connected', 500], true],
    ['5xx switched off', { consecutive5xx: 0 }, [500, 500, 500, 500], false],
    ['gateway errors', { consecutive5xx: 0, consecutiveGateway: 2 }, [502, 503], true],
    [
      '500 ends a row of gateway errors',
      { consecutive5xx: 0, consecutiveGateway: 2 },
      [502, 500, 504],
      false,
    ],
    [
      'failures count as gateway errors',
      { consecutive5xx: 0, consecutiveGateway: 2 },
      ['failed', 'timed-out'],
      true,
    ],
    [
      'split: failures are not 5xx',
      { splitsLocalErrors: true, consecutiveLocal: 5 },
      ['failed', 'failed', 'failed'],
      false,
    ],
    [
      'split: failures in a row',
      { splitsLocalErrors: true, consecutiveLocal: 3 },
      ['failed', 'timed-out', 'failed'],
      true,
    ],
    [
      'split: a connection ends the row',
      { splitsLocalErrors: true, consecutiveLocal: 3 },
      ['failed', 'failed', 'connected', 'failed'],
      false,
    ],
    [
      'split: an answer does not',
      { splitsLocalErrors: true, consecutiveLocal: 3 },
      ['failed', 'failed', 200, 'failed'],
      true,
    ],
    ['split: 5xx still count', { splitsLocalErrors: true, consecutiveLocal: 9 }, [500, 500, 500], true],
  ]
  for (const [what, more, outcomes, ejects] of table) {
    const { note, left } = world(more)
    note(1, outcomes)
    assert.deepEqual(left(0), ejects ? [0, 2, 3] : [0, 1, 2, 3], what)
  }
})

test('an instance comes back at the first sweep after its time, which grows with each ejection up to 300 s', () => {
  const { note, left, detector, members } = world()
  let now = 0
  const lasted: number[] = []
  for (let i = 0; i < 13; i++) {
    note(0, [500, 500, 500], now)
    const from = now
    assert.ok(detector.isEjected(members[0]!))
    while (!left(now).includes(0)) now += 1_000
    lasted.push(now - from)
  }
  // 30 s times the number of ejections, the back-off not shrinking since no sweep finds it healthy.
  assert.deepEqual(lasted.slice(0, 4), [30_000, 60_000, 90_000, 120_000])
  assert.equal(Math.max(...lasted), 300_000)
})

test('sweeps that find it healthy shrink the next ejection', () => {
  const { note, left } = world()
  note(0, [500, 500, 500], 0)
  assert.ok(!left(29_999).includes(0))
  assert.ok(left(30_000).includes(0))
  note(0, [500, 500, 500], 51_000) // two healthy sweeps, at 40 s and 50 s, took back the one step
  assert.ok(!left(79_999).includes(0))
  assert.ok(left(90_000).includes(0))
})

test('the part that may be ejected is never exceeded, and what is kept is counted', () => {
  for (const [percent, most] of [
    [10, 0],
    [25, 1],
    [49, 1],
    [50, 2],
    [100, 4],
  ] as const) {
    const { note, left, counters } = world({ maxEjectionPercent: percent })
    for (const id of [0, 1, 2, 3]) note(id, [500, 500, 500])
    assert.equal(4 - left(0).length, most, `${percent} %`)
    assert.deepEqual(counters, { outliersEjected: most, outliersKept: 4 - most })
  }
})

test('below the least health all are used again', () => {
  const { note, left } = world({ minHealthPercent: 50 })
  note(0, [500, 500, 500])
  note(1, [500, 500, 500])
  assert.deepEqual(left(0), [2, 3])
  note(2, [500, 500, 500])
  assert.deepEqual(left(0), [0, 1, 2, 3])
})

/** Envoy's detector as its documentation tells it, sweep by sweep. */
class Model {
  readonly #settings: OutlierSettings
  readonly #hosts: { row: number; ejectedAt: number | null; backOff: number }[]
  #next: number

  constructor(one: OutlierSettings, size: number) {
    this.#settings = one
    this.#hosts = Array.from({ length: size }, () => ({ row: 0, ejectedAt: null, backOff: 0 }))
    this.#next = one.intervalMs
  }

  advance(now: number): void {
    const { intervalMs, baseEjectionMs } = this.#settings
    for (; this.#next <= now; this.#next += intervalMs) {
      for (const host of this.#hosts) {
        if (host.ejectedAt === null) host.backOff = Math.max(0, host.backOff - 1)
        else if (Math.min(baseEjectionMs * host.backOff, 300_000) <= this.#next - host.ejectedAt) {
          host.ejectedAt = null
          host.row = 0
        }
      }
    }
  }

  answer(id: number, status: number, now: number): void {
    const host = this.#hosts[id]!
    if (status < 500) host.row = 0
    else if (++host.row === this.#settings.consecutive5xx) {
      host.row = 0
      const ejected = this.#hosts.filter(({ ejectedAt }) => ejectedAt !== null).length
      if (
        host.ejectedAt !== null ||
        (100 * (ejected + 1)) / this.#hosts.length > this.#settings.maxEjectionPercent
      )
        return
      host.ejectedAt = now
      if (host.backOff * this.#settings.baseEjectionMs < 300_000 + this.#settings.baseEjectionMs)
        host.backOff++
    }
  }

  ejected(): number[] {
    return this.#hosts.flatMap(({ ejectedAt }, id) => (ejectedAt === null ? [] : [id]))
  }
}

test('over any course of answers and pauses it does what sweep after sweep would', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ id: fc.nat(3), status: fc.constantFrom(200, 500, 500, 503) }) },
    { weight: 1, arbitrary: fc.record({ pause: fc.oneof(fc.nat(2_000), fc.nat(400_000)) }) },
  )
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.record({
        consecutive5xx: fc.integer({ min: 1, max: 3 }),
        intervalMs: fc.constantFrom(700, 10_000, 100_000),
        baseEjectionMs: fc.constantFrom(500, 30_000, 200_000),
        maxEjectionPercent: fc.constantFrom(10, 25, 50, 75, 100),
      }),
      (steps, more) => {
        const { note, detector, members, left } = world(more)
        const model = new Model({ ...settings, ...more }, 4)
        let now = 0
        for (const one of steps) {
          if ('pause' in one) now += one.pause
          else {
            model.advance(now)
            model.answer(one.id, one.status, now)
            note(one.id, [one.status], now)
          }
          model.advance(now)
          left(now)
          assert.deepEqual(
            members.filter((member) => detector.isEjected(member)).map(({ id }) => id),
            model.ejected(),
          )
        }
      },
    ),
  )
})
