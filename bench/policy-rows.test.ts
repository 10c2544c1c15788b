import assert from 'node:assert/strict'
import { test } from 'node:test'
import { policyRows } from './policy-rows.ts'
import type { ProxySample } from './proxy-load.ts'

function sample(figures: Partial<ProxySample>): ProxySample {
  return { cpu: 0, engineCpu: 0, p50: 0, p99: 0, perSecond: 0, lateP50: 0, ...figures }
}

const samples = new Map([
  ['direct' as const, [sample({ p50: 100, p99: 200 })]],
  ['envoy pair' as const, [sample({ cpu: 400, p50: 1100, p99: 2200 })]],
  ['mayfly' as const, [sample({ cpu: 120, engineCpu: 100, p50: 500, p99: 1200 })]],
])

test('engines are compared with the pair, and latencies by what they add', () => {
  const rows = policyRows('1000/s', samples)
  const of = (part: string) => rows.find(({ name }) => name.includes(part))!
  assert.deepEqual([of('both engines').ratio, of('both engines').met], [0.25, true])
  assert.equal(of('all processes').ratio, 0.3)
  assert.deepEqual([of('p50').median, of('p50').baseline, of('p50').met], [400, 1000, false])
  assert.deepEqual([of('p99').ratio, of('p99').met], [0.5, null])
})

test('where work was left undone no goal counts as met', () => {
  const [row] = policyRows('saturation', samples, 'no spans')
  assert.deepEqual([row!.ratio, row!.met, row!.note], [0.25, false, 'no spans'])
})
