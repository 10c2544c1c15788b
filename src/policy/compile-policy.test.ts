import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toFunctionSpec } from '../api/function-spec.ts'
import { readManifests } from '../api/read-manifests.ts'
import { meshConfigOf, ofKind } from '../api/resource.ts'
import { HTTP_NORMALIZATION, HTTP_TRUSTED_PROXIES, NORMALIZE_MERGE_SLASHES } from '../sidecar/layout/http.ts'
import { IDENTITY_NAME, IDENTITY_NAMESPACE, IDENTITY_PRINCIPAL } from '../sidecar/layout/identity.ts'
import * as layout from '../sidecar/layout/policy.ts'
import { ABI_VERSION, POLICY_AUTHORIZATION } from '../sidecar/layout/record.ts'
import { type CompiledPolicy, compilePolicy, type MeshView } from './compile-policy.ts'

const MANIFESTS = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {template: {spec: {serviceAccountName: till, containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: some, namespace: shop}
spec: {rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {methods: [PUT]}}]}]}
---
apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec:
  pathNormalization: {normalization: MERGE_SLASHES}
  defaultConfig: {gatewayTopology: {numTrustedProxies: 2}}
`

function viewOf(text: string): MeshView {
  const reading = readManifests([{ path: 'shop.yaml', text }])
  assert.ok(reading.ok, JSON.stringify(reading))
  const { resources } = reading
  const config = meshConfigOf(resources)
  return {
    config,
    authorizationPolicies: ofKind(resources, 'AuthorizationPolicy'),
    peerAuthentications: ofKind(resources, 'PeerAuthentication'),
    requestAuthentications: ofKind(resources, 'RequestAuthentication'),
    sidecars: ofKind(resources, 'Sidecar'),
    destinationRules: ofKind(resources, 'DestinationRule'),
    telemetries: ofKind(resources, 'Telemetry'),
    functions: ofKind(resources, 'Service').map((service) => toFunctionSpec(service, config)),
  }
}

function compiled(view: MeshView, fn = view.functions[0] ?? null): CompiledPolicy {
  const result = compilePolicy(view, fn)
  assert.ok(result.ok, JSON.stringify(result))
  return result.policy
}

function section(bytes: Buffer, number: number): Buffer {
  const entry = layout.POLICY_TABLE + number * layout.SECTION_ENTRY
  const start = bytes.readUInt32LE(entry)
  return bytes.subarray(start, start + bytes.readUInt32LE(entry + 4))
}

function textAt(bytes: Buffer, offset: number): string {
  const start = bytes.readUInt32LE(offset)
  return bytes.toString('utf8', start, start + bytes.readUInt32LE(offset + 4))
}

test('the table says where each section lies', () => {
  const { bytes } = compiled(viewOf(MANIFESTS))
  assert.equal(bytes.readInt32LE(layout.POLICY_ABI), ABI_VERSION)
  assert.equal(bytes.readInt32LE(layout.POLICY_LENGTH), bytes.length)
  assert.equal(bytes.readInt32LE(layout.POLICY_SECTIONS), layout.SECTIONS)
  let end = layout.POLICY_TABLE + layout.SECTIONS * layout.SECTION_ENTRY
  for (const number of [
    layout.SECTION_HTTP,
    layout.SECTION_IDENTITY,
    layout.SECTION_AUTHORIZATION,
    layout.SECTION_EGRESS,
  ]) {
    assert.ok(section(bytes, number).length > 0, `section ${number} is absent`)
    assert.equal(section(bytes, number).byteOffset % 8, bytes.byteOffset % 8)
    end += section(bytes, number).length
  }
  assert.ok(end <= bytes.length)
})

test('HTTP and identity say what the mesh and the function are', () => {
  const { bytes } = compiled(viewOf(MANIFESTS))
  const http = section(bytes, layout.SECTION_HTTP)
  assert.equal(http.readUInt32LE(HTTP_NORMALIZATION), NORMALIZE_MERGE_SLASHES)
  assert.equal(http.readUInt32LE(HTTP_TRUSTED_PROXIES), 2)
  const identity = section(bytes, layout.SECTION_IDENTITY)
  assert.equal(textAt(identity, IDENTITY_PRINCIPAL), 'cluster.local/ns/shop/sa/till')
  assert.equal(textAt(identity, IDENTITY_NAMESPACE), 'shop')
  assert.equal(textAt(identity, IDENTITY_NAME), 'cart')
})

test("the gateway's own policy judges for nobody", () => {
  const view = viewOf(MANIFESTS)
  const result = compilePolicy(view, null)
  assert.ok(result.ok)
  for (const number of [layout.SECTION_IDENTITY, layout.SECTION_AUTHORIZATION, layout.SECTION_EGRESS]) {
    assert.equal(section(result.policy.bytes, number).length, 0)
  }
  assert.ok(section(result.policy.bytes, layout.SECTION_HTTP).length > 0)
})

test('the hash is that of the content', () => {
  const policy = compiled(viewOf(MANIFESTS))
  assert.match(policy.hash, /^[0-9a-f]{16}$/)
  assert.equal(compiled(viewOf(MANIFESTS)).hash, policy.hash)
  assert.notEqual(compiled(viewOf(MANIFESTS.replace('PUT', 'POST'))).hash, policy.hash)
})

test('rule numbers lead back to the manifest', () => {
  const { rules } = compiled(viewOf(MANIFESTS))
  const found = rules[POLICY_AUTHORIZATION]!.map(({ policy, index, source }) => [policy, index, source.file])
  assert.deepEqual(found, [
    ['shop/some', 0, 'shop.yaml'],
    ['shop/some', 1, 'shop.yaml'],
  ])
})

test('what does not compile is reported with file, line and field', () => {
  const view = viewOf(`${MANIFESTS}  accessLogFile: /dev/stdout\n  accessLogFormat: "%NO_SUCH_OPERATOR%"\n`)
  const result = compilePolicy({ ...view, configSource: { file: 'shop.yaml', line: 12 } }, view.functions[0]!)
  assert.ok(!result.ok)
  const [error] = result.errors
  assert.deepEqual(
    { file: error!.file, line: error!.line, field: error!.field },
    { file: 'shop.yaml', line: 12, field: 'spec.accessLogFormat' },
  )
  assert.match(error!.message, /NO_SUCH_OPERATOR/)
})
