import assert from 'node:assert/strict'
import { test } from 'node:test'
import { steadyClock } from './steady-clock.ts'

function world() {
  const time = { monotonic: 7_000, wall: 1_000_000, sinceBoot: 90_000 }
  const clock = steadyClock({
    monotonic: () => time.monotonic,
    wall: () => time.wall,
    sinceBoot: () => time.sinceBoot,
  })
  const pass = (ms: number) => {
    time.monotonic += ms
    time.wall += ms
    time.sinceBoot += ms
  }
  const suspend = (ms: number) => {
    time.wall += ms
    time.sinceBoot += ms
  }
  return { time, clock, pass, suspend }
}

test('it counts what passes, from the wall clock on', () => {
  const { clock, pass } = world()
  assert.equal(clock(), 1_000_000)
  pass(1_500)
  assert.equal(clock(), 1_001_500)
})

test('it goes along while the machine is suspended, each time', () => {
  const { clock, pass, suspend } = world()
  pass(100)
  suspend(60_000)
  assert.equal(clock(), 1_060_100)
  pass(100)
  suspend(1_000)
  assert.equal(clock(), 1_061_200)
})

test('it does not follow a wall clock that is set, before a suspension and after it', () => {
  const { time, clock, pass, suspend } = world()
  time.wall += 3_600_000
  assert.equal(clock(), 1_000_000)
  pass(100)
  suspend(1_000)
  assert.equal(clock(), 1_001_100)
  time.wall -= 7_200_000
  pass(100)
  assert.equal(clock(), 1_001_200)
})

test('it never goes back, and does not heed the resolution of a clock', () => {
  const { time, clock, pass } = world()
  pass(100)
  time.sinceBoot += 20
  time.wall += 20
  assert.equal(clock(), 1_000_100)
  time.monotonic -= 50
  time.sinceBoot -= 5_000
  assert.equal(clock(), 1_000_100)
})

test('the clocks of this machine', (t) => {
  const clock = steadyClock()
  const before = clock()
  const real = Date.now
  t.mock.method(Date, 'now', () => real() + 3_600_000)
  const after = clock()
  assert.ok(after >= before && after - before < 60_000)
})
