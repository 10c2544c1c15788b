import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toFunctionSpec } from './function-spec.ts'
import { defaultMeshConfig } from './mesh-config.ts'
import { readManifests } from './read-manifests.ts'
import { ofKind } from './resource.ts'

function read(resources: unknown) {
  const text = JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'cart', namespace: 'shop' },
    spec: { template: { spec: { containers: [{ image: 'file:./fn.ts', resources }] } } },
  })
  return readManifests([{ path: 'cart.yaml', text }])
}

function resourcesOf(given: unknown) {
  const result = read(given)
  assert.ok(result.ok, JSON.stringify(result))
  return toFunctionSpec(ofKind(result.resources, 'Service')[0]!, defaultMeshConfig).resources
}

const NOTHING = { cpuMillis: null, memoryBytes: null }

test('quantities are read as Kubernetes reads them', () => {
  const cases: [string | number, number][] = [
    ['500m', 500],
    ['1', 1_000],
    [2, 2_000],
    [0.1, 100],
    ['0.29', 290],
    ['1.5', 1_500],
    ['0.0001', 1],
  ]
  for (const [cpu, cpuMillis] of cases)
    assert.deepEqual(
      resourcesOf({ requests: { cpu } })?.requests,
      { cpuMillis, memoryBytes: null },
      String(cpu),
    )
  const sizes: [string | number, number][] = [
    ['128Mi', 128 * 2 ** 20],
    ['1Gi', 2 ** 30],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['64M', 64_000_000],
    [5_000_000, 5_000_000],
    ['1e7', 10_000_000],
    ['12E6', 12_000_000],
  ]
  for (const [memory, memoryBytes] of sizes)
    assert.deepEqual(
      resourcesOf({ requests: { memory } })?.requests,
      { cpuMillis: null, memoryBytes },
      String(memory),
    )
})

test('a limit without a request is the request, too; a request is no limit', () => {
  assert.deepEqual(resourcesOf({ limits: { cpu: '1', memory: '64Mi' }, requests: { cpu: '250m' } }), {
    requests: { cpuMillis: 250, memoryBytes: 64 * 2 ** 20 },
    limits: { cpuMillis: 1_000, memoryBytes: 64 * 2 ** 20 },
  })
  assert.deepEqual(resourcesOf({ requests: { memory: '64Mi' } })?.limits, NOTHING)
  assert.deepEqual(resourcesOf({}), { requests: NOTHING, limits: NOTHING })
  assert.equal(resourcesOf(undefined), undefined)
})

for (const [name, given, expected] of [
  [
    'more asked for than allowed',
    { requests: { cpu: 2 }, limits: { cpu: '1500m' } },
    /requests\.cpu: is more than the limit/,
  ],
  ['an eighth of a byte', { limits: { memory: '128m' } }, /limits\.memory: nothing can run with that/],
  ['no CPU at all', { limits: { cpu: 0 } }, /limits\.cpu: nothing can run with that/],
  ['a unit that there is not', { limits: { memory: '1KB' } }, /limits\.memory: expected a quantity/],
  ['less than nothing', { requests: { cpu: '-1' } }, /requests\.cpu: expected a quantity/],
  ['disk', { limits: { 'ephemeral-storage': '1Gi' } }, /ephemeral-storage: what an instance writes/],
  ['claims', { claims: [{ name: 'gpu' }] }, /resources\.claims: devices/],
  ['another resource', { limits: { 'nvidia.com/gpu': 1 } }, /nvidia\.com\/gpu/],
] as const) {
  test(`resources are refused: ${name}`, () => {
    const result = read(given)
    assert.ok(!result.ok)
    assert.match(result.errors.map(({ field, message }) => `${field}: ${message}`).join('\n'), expected)
  })
}
