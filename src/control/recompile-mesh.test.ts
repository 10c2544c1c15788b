import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readManifests } from '../api/read-manifests.ts'
import type { Resource } from '../api/resource.ts'
import { type CompiledMesh, compileMesh } from './compile-mesh.ts'
import { recompileMesh } from './recompile-mesh.ts'

const NAMESPACES = ['shop', 'bank', 'mayfly-system']
const labels = fc.constantFrom({}, { tier: 'a' }, { tier: 'b' })
const namespace = fc.constantFrom(...NAMESPACES)
const name = fc.constantFrom('a', 'b', 'c')

const service = fc.record({ namespace, name, labels, port: fc.constantFrom(8080, 9090) }).map((one) => ({
  key: `Service ${one.namespace}/${one.name}`,
  manifest: {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: one.name, namespace: one.namespace },
    spec: {
      template: {
        metadata: { labels: one.labels },
        spec: { containers: [{ image: 'file:./f.ts', ports: [{ containerPort: one.port }] }] },
      },
    },
  },
}))

const policy = fc.record({ namespace, name, labels, method: fc.constantFrom('GET', 'POST') }).map((one) => ({
  key: `AuthorizationPolicy ${one.namespace}/${one.name}`,
  manifest: {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: one.name, namespace: one.namespace },
    spec: {
      ...(Object.keys(one.labels).length > 0 && { selector: { matchLabels: one.labels } }),
      rules: [{ to: [{ operation: { methods: [one.method] } }] }],
    },
  },
}))

const sidecar = fc
  .record({ namespace, name, tier: fc.constantFrom('a', 'b'), host: fc.constantFrom('./*', 'bank/*') })
  .map((one) => ({
    key: `Sidecar ${one.namespace}/${one.name}`,
    manifest: {
      apiVersion: 'networking.istio.io/v1',
      kind: 'Sidecar',
      metadata: { name: one.name, namespace: one.namespace },
      spec: { workloadSelector: { labels: { tier: one.tier } }, egress: [{ hosts: [one.host] }] },
    },
  }))

const config = fc.constantFrom('deny', 'allow').map((defaultAuthorization) => ({
  key: 'MeshConfig default/mesh',
  manifest: {
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'mesh' },
    spec: { defaultAuthorization },
  },
}))

type Written = { key: string; manifest: object }
const written: fc.Arbitrary<Written> = fc.oneof(
  { weight: 4, arbitrary: service },
  { weight: 4, arbitrary: policy },
  sidecar,
  config,
)

function read(manifests: Iterable<object>): Map<string, Resource> {
  const files = [...manifests].map((manifest, i) => ({ path: `${i}.yaml`, text: JSON.stringify(manifest) }))
  const reading = readManifests(files)
  assert.ok(reading.ok, JSON.stringify(reading))
  return new Map(
    reading.resources.map((one) => [`${one.kind} ${one.metadata.namespace}/${one.metadata.name}`, one]),
  )
}

function compiled(resources: Map<string, Resource>): CompiledMesh {
  const compilation = compileMesh([...resources.values()])
  assert.ok(compilation.ok, JSON.stringify(compilation))
  return compilation.mesh
}

const comparable = (mesh: CompiledMesh) => ({
  functions: [...mesh.functions].map(([key, fn]) => [key, fn.policy.hash, { ...fn.spec, source: null }]),
  gateway: mesh.gateway.hash,
  policies: mesh.policies.map(({ source: _, ...one }) => one),
})

describe('a mesh of which some resources changed', () => {
  test('is what compiling all of it anew gives, whatever changed', () => {
    fc.assert(
      fc.property(
        fc.array(written, { minLength: 1, maxLength: 12 }),
        fc.array(fc.oneof(written, fc.nat(11)), { minLength: 1, maxLength: 4 }),
        (first, edits) => {
          const manifests = new Map(first.map(({ key, manifest }) => [key, manifest]))
          const before = read(manifests.values())
          for (const edit of edits) {
            if (typeof edit === 'number') manifests.delete([...manifests.keys()][edit] ?? '')
            else manifests.set(edit.key, edit.manifest)
          }
          const after = read(manifests.values())
          const same = (key: string) =>
            JSON.stringify({ ...before.get(key), source: null }) ===
            JSON.stringify({ ...after.get(key), source: null })
          const touched = [...new Set([...before.keys(), ...after.keys()])]
            .filter((key) => !same(key))
            .flatMap((key) => [before.get(key), after.get(key)])
            .filter((one) => one !== undefined)
          const again = recompileMesh(compiled(before), [...after.values()], touched)
          assert.ok(again.ok)
          assert.deepEqual(comparable(again.mesh), comparable(compiled(after)))
        },
      ),
      { numRuns: 300 },
    )
  })

  test('keeps the functions that the change cannot concern', () => {
    const manifests = ['shop', 'bank'].flatMap((namespace) =>
      ['a', 'b'].map((name) => ({
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata: { name, namespace },
        spec: {
          template: {
            metadata: { labels: { tier: name } },
            spec: { containers: [{ image: 'file:./f.ts' }] },
          },
        },
      })),
    )
    const policyOfA = {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'p', namespace: 'shop' },
      spec: { selector: { matchLabels: { tier: 'a' } }, rules: [{}] },
    }
    const before = compiled(read(manifests))
    const after = read([...manifests, policyOfA])
    const again = recompileMesh(before, [...after.values()], [after.get('AuthorizationPolicy shop/p')!])
    assert.ok(again.ok)
    const kept = [...again.mesh.functions]
      .filter(([key, fn]) => fn === before.functions.get(key))
      .map(([key]) => key)
    assert.deepEqual(kept.sort(), ['bank/a', 'bank/b', 'shop/b'])
  })
})
