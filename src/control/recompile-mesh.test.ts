import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatManifestError, type ManifestError } from '../api/manifest-error.ts'
import { readManifests } from '../api/read-manifests.ts'
import type { Resource } from '../api/resource.ts'
import { type CompiledFunction, type CompiledMesh, compileMesh } from './compile-mesh.ts'
import { meshDifference } from './mesh-difference.ts'
import { MeshInputs, type ResourceEdit } from './mesh-inputs.ts'
import { recompileMesh } from './recompile-mesh.ts'

const NAMESPACES = ['shop', 'bank', 'mayfly-system']
const labels = fc.constantFrom({}, { tier: 'a' }, { tier: 'b' })
const namespace = fc.constantFrom(...NAMESPACES)
const name = fc.constantFrom('a', 'b', 'c')

/** Percent of the requests that an earlier revision gets; null: it does not serve. */
const earlier = fc.constantFrom(null, null, 0, 50)

const service = fc
  .record({ namespace, name, labels, port: fc.constantFrom(8080, 9090), earlier })
  .map((one) => ({
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
        ...(one.earlier !== null && {
          traffic: [
            { latestRevision: true, percent: 100 - one.earlier },
            { revisionName: `${one.name}-00001`, percent: one.earlier },
          ],
        }),
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

const selecting = (kind: string, apiVersion: string, spec: object, inSelector = 'selector') =>
  fc.record({ namespace, name, labels }).map((one) => ({
    key: `${kind} ${one.namespace}/${one.name}`,
    manifest: {
      apiVersion,
      kind,
      metadata: { name: one.name, namespace: one.namespace },
      spec: {
        ...(Object.keys(one.labels).length > 0 && { [inSelector]: { matchLabels: one.labels } }),
        ...spec,
      },
    },
  }))

const telemetry = selecting('Telemetry', 'telemetry.istio.io/v1', { accessLogging: [{ disabled: true }] })
const peers = fc
  .constantFrom('STRICT', 'PERMISSIVE')
  .chain((mode) => selecting('PeerAuthentication', 'security.istio.io/v1', { mtls: { mode } }))
const audit = selecting('AuthorizationPolicy', 'security.istio.io/v1', { action: 'AUDIT', rules: [{}] })
const limit = fc.constantFrom(5, 10).chain((requests) =>
  selecting('RateLimitPolicy', 'mayfly.dev/v1', {
    limits: [{ name: 'all', requests, unit: 'second' }],
  }),
)

const rule = fc.record({ namespace, name, host: fc.constantFrom('a', 'b.bank', '*.shop') }).map((one) => ({
  key: `DestinationRule ${one.namespace}/${one.name}`,
  manifest: {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: one.name, namespace: one.namespace },
    spec: { host: one.host, trafficPolicy: { connectionPool: { http: { maxRequestsPerConnection: 3 } } } },
  },
}))
const route = fc.record({ namespace, name, to: name }).map((one) => ({
  key: `VirtualService ${one.namespace}/${one.name}`,
  manifest: {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: one.name, namespace: one.namespace },
    spec: { hosts: ['a'], http: [{ route: [{ destination: { host: one.to } }] }] },
  },
}))

type Written = { key: string; manifest: object }
const policies: fc.Arbitrary<Written> = fc.oneof(policy, policy, audit, sidecar, telemetry, peers, limit)
const unrouted: fc.Arbitrary<Written> = fc.oneof(
  { weight: 6, arbitrary: service },
  { weight: 12, arbitrary: policies },
  config,
)
const routed: fc.Arbitrary<Written> = fc.oneof({ weight: 8, arbitrary: unrouted }, rule, route)

type Read = { manifests: Map<string, object>; resources: Map<string, Resource> }

/** The resources as written, those that are as before the same objects; null: they cannot stand together. */
function read(manifests: Map<string, object>, before: Read | null): Read | null {
  const files = [...manifests].map(([key, manifest]) => ({ path: key, text: JSON.stringify(manifest) }))
  const reading = readManifests(files)
  if (!reading.ok) return null
  const resources = new Map(
    [...manifests].map(([key, manifest], i) => {
      const isSame = before?.manifests.get(key) === manifest
      withRevision(reading.resources[i]!)
      return [key, isSame ? before!.resources.get(key)! : reading.resources[i]!]
    }),
  )
  return { manifests, resources }
}

/** What a control plane fills in. */
function withRevision(resource: Resource): void {
  if (resource.kind !== 'Service' || resource.spec.traffic === undefined) return
  resource.metadata.generation = 2
  resource.revisions = [{ generation: 1, template: { ...resource.spec.template } }]
}

const errorsOf = (errors: readonly ManifestError[]) => [...new Set(errors.map(formatManifestError))].sort()

const comparable = ({ functions, gateway, policies: all, ...mesh }: CompiledMesh) => ({
  ...mesh,
  functions: [...functions],
  gateway: gateway.hash,
  policies: [...all],
})

/** Changes one after the other, each by several edits: what is compiled anew after each is what compiling everything gives. */
function follow(first: readonly Written[], steps: readonly (readonly (Written | number)[])[]): void {
  let state: Read = { manifests: new Map(), resources: new Map() }
  for (const { key, manifest } of first)
    state = read(new Map([...state.manifests, [key, manifest]]), state) ?? state
  const compilation = compileMesh([...state.resources.values()])
  if (!compilation.ok) return
  let mesh = compilation.mesh
  const inputs = new MeshInputs(state.resources.values())
  for (const step of steps) {
    let next: Read = state
    const edits: ResourceEdit[] = []
    for (const edit of step) {
      const manifests: Map<string, object> = new Map(next.manifests)
      const key = typeof edit === 'number' ? [...manifests.keys()][edit] : edit.key
      if (key === undefined) continue
      if (typeof edit === 'number') manifests.delete(key)
      else manifests.set(key, edit.manifest)
      const then = read(manifests, next)
      if (!then) continue
      edits.push({ before: next.resources.get(key) ?? null, after: then.resources.get(key) ?? null })
      next = then
    }
    const undo = inputs.change(edits)
    const { resources } = next
    const again = recompileMesh(mesh, inputs, edits, () => resources.values())
    const anew = compileMesh([...resources.values()])
    assert.equal(again.ok, anew.ok)
    if (!again.ok || !anew.ok) {
      assert.deepEqual(again.ok || errorsOf(again.errors), anew.ok || errorsOf(anew.errors))
      undo()
      continue
    }
    assert.deepEqual(comparable(again.mesh), comparable(anew.mesh))
    const { upsert, remove } = meshDifference(mesh, anew.mesh)
    assert.deepEqual(again.difference.upsert.map(keyOfFunction).sort(), upsert.map(keyOfFunction).sort())
    assert.deepEqual([...again.difference.remove].sort(), [...remove].sort())
    mesh = again.mesh
    state = next
  }
}

const keyOfFunction = ({ spec }: CompiledFunction) => spec.key

describe('a mesh of which some resources changed', () => {
  for (const [what, written] of [
    ['', unrouted],
    [', with routes', routed],
  ] as const) {
    test(`is what compiling all of it anew gives, whatever changed, change after change${what}`, () => {
      const step = fc.array(fc.oneof(written, written, fc.nat(20)), { minLength: 1, maxLength: 4 })
      fc.assert(
        fc.property(
          fc.array(written, { minLength: 1, maxLength: 20 }),
          fc.array(step, { maxLength: 6 }),
          follow,
        ),
        { numRuns: 200 },
      )
    })
  }

  test('keeps the functions that the change cannot concern', () => {
    const manifests = new Map<string, object>(
      ['shop', 'bank'].flatMap((namespace) =>
        ['a', 'b'].map((name) => [
          `Service ${namespace}/${name}`,
          {
            apiVersion: 'serving.knative.dev/v1',
            kind: 'Service',
            metadata: { name, namespace },
            spec: {
              template: {
                metadata: { labels: { tier: name } },
                spec: { containers: [{ image: 'file:./f.ts' }] },
              },
            },
          },
        ]),
      ),
    )
    const policyOfA = {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'p', namespace: 'shop' },
      spec: { selector: { matchLabels: { tier: 'a' } }, rules: [{}] },
    }
    const before = read(manifests, null)!
    const compilation = compileMesh([...before.resources.values()])
    assert.ok(compilation.ok)
    const after = read(new Map([...manifests, ['policy', policyOfA]]), before)!
    const inputs = new MeshInputs(before.resources.values())
    const edits = [{ before: null, after: after.resources.get('policy')! }]
    inputs.change(edits)
    const again = recompileMesh(compilation.mesh, inputs, edits, () => assert.fail('all are compiled'))
    assert.ok(again.ok)
    const kept = [...again.mesh.functions]
      .filter(([key, fn]) => fn === compilation.mesh.functions.get(key))
      .map(([key]) => key)
    assert.deepEqual(kept.sort(), ['bank/a', 'bank/b', 'shop/b'])
  })
})
