import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forwardRows, type Outcome } from './forward-rows.ts'
import type { ProxyName } from './proxies.ts'

const sample = (cpu: number) => [{ cpu, engineCpu: cpu, p50: 1, p99: 2, perSecond: 3, lateP50: 0 }]
const outcome = (cpus: Partial<Record<ProxyName, number>>, more: Partial<Outcome> = {}): Outcome => ({
  samples: new Map(Object.entries(cpus).map(([name, cpu]) => [name as ProxyName, sample(cpu)])),
  absent: new Map(),
  partial: new Map(),
  ...more,
})
const goalRows = (result: Outcome) => forwardRows('saturation', result).filter(({ goal }) => goal !== null)

test('mayfly is held to both promises', () => {
  const [nginx, envoy] = goalRows(outcome({ nginx: 20, envoy: 50, 'envoy+policies': 100, mayfly: 35 }))
  assert.deepEqual([nginx!.ratio, nginx!.met], [1.75, true])
  assert.deepEqual([envoy!.ratio, envoy!.met], [0.35, false])
})

test('without Envoy its promise is not measured, and the other one still is', () => {
  const absent = new Map([['envoy+policies' as const, 'Envoy is not installed']])
  const [nginx, envoy] = goalRows(outcome({ nginx: 20, mayfly: 35 }, { absent }))
  assert.equal(nginx!.met, true)
  assert.deepEqual([envoy!.median, envoy!.met], [null, false])
  assert.match(envoy!.note!, /Envoy is not installed/)
})

test('who leaves work undone keeps no promise, and is no measure for another', () => {
  const cpus = { nginx: 20, 'envoy+policies': 1000, mayfly: 35 }
  const left = (name: ProxyName) => goalRows(outcome(cpus, { partial: new Map([[name, 'no spans']]) }))
  assert.deepEqual(
    left('mayfly').map(({ met, note }) => [met, note]),
    [
      [false, 'no spans'],
      [false, 'no spans'],
    ],
  )
  assert.deepEqual(
    left('envoy+policies').map(({ met }) => met),
    [true, false],
  )
})
