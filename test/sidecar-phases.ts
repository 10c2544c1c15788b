// The phases of the real guest with a policy that allows everything, for tests of heads.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSidecar, sidecarIsCurrent } from '../scripts/build-sidecar.ts'
import { toFunctionSpec } from '../src/api/function-spec.ts'
import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { meshConfigOf, ofKind } from '../src/api/resource.ts'
import { ipBytes } from '../src/dataplane/ip-bytes.ts'
import { type ConnectionFacts, loadSidecars, type Sidecars } from '../src/dataplane/sidecar.ts'
import { compilePolicy } from '../src/policy/compile-policy.ts'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'

/** 48 bytes that are the same in every run: the ids made of them are known. */
export const RANDOM = Buffer.from(Array.from({ length: 48 }, (_, i) => i + 1))
export const NOW = Date.UTC(2026, 10, 24, 13, 40, 7, 123)
/** The request id that the guest makes of RANDOM. */
export const REQUEST_ID = '191a1b1c-1d1e-4f20-a122-232425262728'

/** The guest, compiled first where it is older than its sources. */
export async function realSidecars(): Promise<Sidecars> {
  return loadSidecars(await guestBytes())
}

export async function guestBytes(): Promise<Buffer> {
  if (!sidecarIsCurrent()) {
    const failure = await buildSidecar()
    if (failure !== undefined) throw new Error(failure)
  }
  return readFileSync(join(import.meta.dirname, '../build/sidecar.wasm'))
}

export function factsOf(direction: number, changes: Partial<ConnectionFacts> = {}): ConnectionFacts {
  return {
    direction,
    peer: direction === DIRECTION_INGRESS ? '' : 'cluster.local/ns/shop/sa/frontend',
    sourceIp: ipBytes('192.0.2.7'),
    sourcePort: 40_000,
    localIp: ipBytes('127.0.0.1'),
    localPort: 8080,
    tls: false,
    ...changes,
  }
}

/** The policy of shop/cart, which allows everything, as the bytes a sidecar gets; `mesh` is a MeshConfig's spec. */
export function openPolicy(mesh: object = {}): Buffer {
  const settings = { enableTracing: false, defaultAuthorization: 'allow', ...mesh }
  const manifests = [
    `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {template: {spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
`,
    JSON.stringify({
      apiVersion: 'mayfly.dev/v1',
      kind: 'MeshConfig',
      metadata: { name: 'mesh' },
      spec: settings,
    }),
  ]
  const reading = readManifests(manifests.map((text, i) => ({ path: `${i}.yaml`, text })))
  if (!reading.ok) throw new Error(reading.errors.map(formatManifestError).join('\n'))
  const config = meshConfigOf(reading.resources)
  const functions = ofKind(reading.resources, 'Service').map((service) => toFunctionSpec(service, config))
  const view = {
    config,
    authorizationPolicies: [],
    peerAuthentications: [],
    requestAuthentications: [],
    sidecars: [],
    destinationRules: [],
    telemetries: [],
    functions,
  }
  const compiled = compilePolicy(view, functions[0]!)
  if (!compiled.ok) throw new Error(compiled.errors.map(formatManifestError).join('\n'))
  return compiled.policy.bytes
}
