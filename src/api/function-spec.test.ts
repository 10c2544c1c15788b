import assert from 'node:assert/strict'
import test from 'node:test'
import { type FunctionSpec, toFunctionSpec } from './function-spec.ts'
import { defaultMeshConfig } from './mesh-config.ts'
import { readManifests } from './read-manifests.ts'
import { ofKind } from './resource.ts'

test('a function with nothing but an image has every default', () => {
  assert.deepEqual(specOf({ image: 'file:./fn.ts' }), {
    namespace: 'default',
    name: 'cart',
    key: 'default/cart',
    principal: 'cluster.local/ns/default/sa/cart',
    serviceAccount: 'cart',
    labels: { 'serving.knative.dev/service': 'cart' },
    image: { kind: 'file', path: '/mesh/shop/fn.ts' },
    env: [],
    port: 8080,
    workingDir: null,
    readiness: null,
    concurrency: 0,
    timeoutMs: 300_000,
    responseStartTimeoutMs: 0,
    idleTimeoutMs: 0,
    scaling: {
      metric: 'concurrency',
      aggregation: 'linear',
      target: 100,
      targetUtilization: 0.7,
      minScale: 0,
      maxScale: 0,
      initialScale: 0,
      activationScale: 1,
      scaleDownDelayMs: 0,
      scaleToZeroRetentionMs: 0,
      windowMs: 60_000,
      panicWindowPercentage: 10,
      panicThresholdPercentage: 200,
      targetBurstCapacity: 211,
    },
    clusterLocal: false,
    source: { file: '/mesh/shop/cart.yaml', line: 1 },
  } satisfies FunctionSpec)
})

test('everything that a manifest says arrives', () => {
  const spec = specOf(
    {
      image: 'host',
      command: ['python3', 'server.py'],
      args: ['--fast'],
      env: [{ name: 'A', value: 'b' }, { name: 'EMPTY' }],
      ports: [{ name: 'http1', containerPort: 9000, protocol: 'TCP' }],
      workingDir: './src',
      readinessProbe: {
        httpGet: { path: '/ready', port: 9000, httpHeaders: [{ name: 'x-a', value: 'b' }] },
        periodSeconds: 2,
        initialDelaySeconds: 1,
        failureThreshold: 5,
      },
    },
    {
      containerConcurrency: 7,
      timeoutSeconds: 20,
      responseStartTimeoutSeconds: 10,
      idleTimeoutSeconds: 5,
      serviceAccountName: 'robot',
    },
    { labels: { app: 'shop', 'serving.knative.dev/service': 'cart' } },
    { namespace: 'shop', labels: { 'networking.knative.dev/visibility': 'cluster-local', team: 'x' } },
  )
  assert.equal(spec.principal, 'cluster.local/ns/shop/sa/robot')
  assert.deepEqual(spec.labels, { app: 'shop', 'serving.knative.dev/service': 'cart' })
  assert.deepEqual(spec.image, { kind: 'host', command: ['python3', 'server.py'], args: ['--fast'] })
  assert.deepEqual(spec.env, [
    { name: 'A', value: 'b' },
    { name: 'EMPTY', value: '' },
  ])
  assert.equal(spec.port, 9000)
  assert.equal(spec.workingDir, '/mesh/shop/src')
  assert.deepEqual(spec.readiness, {
    handler: { kind: 'http', path: '/ready', headers: [{ name: 'x-a', value: 'b' }] },
    initialDelayMs: 1_000,
    periodMs: 2_000,
    timeoutMs: 1_000,
    successThreshold: 1,
    failureThreshold: 5,
  })
  assert.deepEqual(
    [spec.concurrency, spec.timeoutMs, spec.responseStartTimeoutMs, spec.idleTimeoutMs, spec.clusterLocal],
    [7, 20_000, 10_000, 5_000, true],
  )
})

test('images', () => {
  const image = (text: string) => specOf({ image: text }).image
  assert.deepEqual(image('file:/abs/fn.mjs'), { kind: 'file', path: '/abs/fn.mjs' })
  assert.deepEqual(image('file:../fn.js'), { kind: 'file', path: '/mesh/fn.js' })
  assert.deepEqual(image('file:a b.ts'), { kind: 'file', path: '/mesh/shop/a b.ts' })
  assert.deepEqual(image('endpoint:127.0.0.1:9001, [::1]:65535,localhost:1'), {
    kind: 'endpoint',
    addresses: [
      { host: '127.0.0.1', port: 9001 },
      { host: '::1', port: 65535 },
      { host: 'localhost', port: 1 },
    ],
  })
})

test('probes that ask the function in other ways', () => {
  const handler = (probe: object) => specOf({ image: 'file:x.ts', readinessProbe: probe }).readiness?.handler
  assert.deepEqual(handler({}), { kind: 'tcp' })
  assert.deepEqual(handler({ tcpSocket: { port: 0 } }), { kind: 'tcp' })
  assert.deepEqual(handler({ httpGet: { port: 8080, scheme: 'HTTP' } }), {
    kind: 'http',
    path: '/',
    headers: [],
  })
  assert.deepEqual(handler({ exec: { command: ['true'] } }), { kind: 'exec', command: ['true'] })
})

test('scaling annotations in both spellings', () => {
  const annotations = {
    class: 'kpa.autoscaling.knative.dev',
    metric: 'rps',
    metricAggregationAlgorithm: 'weightedExponential',
    target: '12.5',
    targetUtilizationPercentage: '80',
    minScale: '1',
    'max-scale': '9',
    initialScale: '3',
    'activation-scale': '2',
    'scale-down-delay': '1m30s',
    scaleToZeroPodRetentionPeriod: '1m0.5s',
    window: '1h',
    'panic-window-percentage': '20',
    panicThresholdPercentage: '150.5',
    'target-burst-capacity': '-1',
  }
  assert.deepEqual(scalingOf(annotations), {
    metric: 'rps',
    aggregation: 'weighted-exponential',
    target: 12.5,
    targetUtilization: 0.8,
    minScale: 1,
    maxScale: 9,
    initialScale: 3,
    activationScale: 2,
    scaleDownDelayMs: 90_000,
    scaleToZeroRetentionMs: 60_500,
    windowMs: 3_600_000,
    panicWindowPercentage: 20,
    panicThresholdPercentage: 150.5,
    targetBurstCapacity: -1,
  })
})

test("a target follows the metric and the container's concurrency", () => {
  assert.equal(scalingOf({ metric: 'rps' }).target, 200)
  assert.equal(scalingOf({}, 10).target, 10)
  assert.equal(scalingOf({ target: '50' }, 10).target, 10)
  assert.equal(scalingOf({ target: '5' }, 10).target, 5)
  assert.equal(scalingOf({ target: '500' }).target, 500)
  assert.equal(scalingOf({ metric: 'rps', target: '500' }, 10).target, 500)
})

function scalingOf(annotations: Record<string, string>, containerConcurrency = 0) {
  const named = Object.entries(annotations).map(([name, value]) => [`autoscaling.knative.dev/${name}`, value])
  return specOf({ image: 'file:x.ts' }, { containerConcurrency }, { annotations: Object.fromEntries(named) })
    .scaling
}

function specOf(
  container: object,
  revision: object = {},
  templateMetadata: object = {},
  metadata: object = {},
): FunctionSpec {
  const text = JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'cart', ...metadata },
    spec: { template: { metadata: templateMetadata, spec: { containers: [container], ...revision } } },
  })
  const read = readManifests([{ path: '/mesh/shop/cart.yaml', text }])
  assert.deepEqual(read.ok ? [] : read.errors, [])
  return toFunctionSpec(ofKind(read.ok ? read.resources : [], 'Service')[0]!, defaultMeshConfig)
}
