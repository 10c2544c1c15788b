import assert from 'node:assert/strict'
import { test } from 'node:test'
import { usageRows } from './usage-rows.ts'
import type { UsageSample } from './usage-sample.ts'

const sample = (at: number, change: Partial<UsageSample> = {}): UsageSample => ({
  at,
  nodes: [{ node: 'n1', roles: ['functions'], own: { cpuMs: 100, rssBytes: 5 }, requests: 10, inFlight: 1 }],
  instances: [{ id: 'a', function: 's/f', node: 'n1', cpuMs: 50, rssBytes: 7 }],
  functions: [{ function: 's/f', ready: 1, requests: 10 }],
  ...change,
})

const later = sample(3_000, {
  nodes: [{ node: 'n1', roles: ['functions'], own: { cpuMs: 300, rssBytes: 6 }, requests: 30, inFlight: 2 }],
  instances: [
    { id: 'a', function: 's/f', node: 'n1', cpuMs: 1_050, rssBytes: 8 },
    { id: 'b', function: 's/f', node: 'n1', cpuMs: 400, rssBytes: 2 },
  ],
  functions: [{ function: 's/f', ready: 2, requests: 25 }],
})

test('CPU and requests are what came between the samples, an instance that is new has used all of its own', () => {
  assert.deepEqual(usageRows('instances', sample(1_000), later).rows, [
    { instance: 'a', function: 's/f', node: 'n1', cpu: 500, memory: 8 },
    { instance: 'b', function: 's/f', node: 'n1', cpu: 200, memory: 2 },
  ])
  assert.deepEqual(usageRows('functions', sample(1_000), later).rows, [
    { function: 's/f', cpu: 700, memory: 10, instances: 2, ready: 2, requestRate: 7.5, requests: 25 },
  ])
  assert.deepEqual(usageRows('nodes', sample(1_000), later).rows, [
    {
      node: 'n1',
      roles: 'functions',
      meshCpu: 100,
      meshMemory: 6,
      functionsCpu: 700,
      functionsMemory: 10,
      instances: 2,
      requestRate: 10,
      inFlight: 2,
    },
  ])
})

test('a node that was started anew or does not answer has used nothing that is known', () => {
  const again = sample(3_000, {
    nodes: [
      { node: 'n1', roles: [], own: { cpuMs: 20, rssBytes: 6 }, requests: 2, inFlight: 0 },
      { node: 'n2', roles: [], own: null, requests: 0, inFlight: 0 },
    ],
    instances: [],
  })
  const [first, second] = usageRows('nodes', sample(1_000), again).rows
  assert.equal(first!.meshCpu, 0)
  assert.equal(first!.requestRate, 0)
  assert.equal(second!.meshCpu, null)
  assert.equal(second!.meshMemory, null)
})
