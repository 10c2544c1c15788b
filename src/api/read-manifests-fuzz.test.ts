import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { readManifests } from './read-manifests.ts'

test('no text makes the reader throw, and every error has a place in it', () => {
  const yamlish = fc.string({
    unit: fc.constantFrom(
      ...'{}[]:,-?&*!|>\'"%@`#\n \tab1.~<='.split(''),
      'kind: ',
      'apiVersion: ',
      '- ',
      '\n  ',
      '---\n',
      '&a ',
      '*a',
      '<<: *a',
    ),
    maxLength: 120,
  })
  fc.assert(fc.property(fc.oneof(yamlish, fc.string(), fc.string({ unit: 'binary' })), placed), {
    numRuns: 3_000,
  })
})

test('no value of a resource makes the reader throw, and every error has a place in it', () => {
  const heads = fc.constantFrom(
    ['serving.knative.dev/v1', 'Service'],
    ['security.istio.io/v1', 'AuthorizationPolicy'],
    ['networking.istio.io/v1', 'Sidecar'],
    ['telemetry.istio.io/v1', 'Telemetry'],
    ['mayfly.dev/v1', 'MeshConfig'],
  )
  const names = [
    'template',
    'metadata',
    'spec',
    'containers',
    'image',
    'env',
    'ports',
    'readinessProbe',
    'httpGet',
    'port',
    'annotations',
    'labels',
    'traffic',
  ]
  names.push(
    'rules',
    'from',
    'source',
    'to',
    'operation',
    'when',
    'key',
    'values',
    'paths',
    'selector',
    'action',
    'egress',
    'ingress',
    'hosts',
    'name',
  )
  names.push(
    'tracing',
    'customTags',
    'accessLogging',
    'match',
    'providers',
    'limits',
    'extensionProviders',
    'defaultProviders',
    'tracePropagation',
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      fc.oneof(
        fc.string(),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        fc.constantFrom('host', 'file:x.ts', 'DENY'),
      ),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(
        fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: fc.string() }),
        tie('value'),
        { maxKeys: 4 },
      ),
    ),
  }))
  fc.assert(
    fc.property(heads, value, value, ([apiVersion, kind], metadata, spec) => {
      placed(JSON.stringify({ apiVersion, kind, metadata, spec }, null, 1))
    }),
    { numRuns: 3_000 },
  )
})

function placed(text: string): void {
  const result = readManifests([{ path: 'f', text }])
  if (result.ok) return
  assert.ok(result.errors.length > 0)
  for (const { line, column, message, code } of result.errors) {
    assert.ok(line >= 1 && line <= text.split('\n').length + 1, `line ${line}`)
    assert.ok(column >= 1)
    assert.ok(message.length > 0 && code.length > 0)
  }
}
