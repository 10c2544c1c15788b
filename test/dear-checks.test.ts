// The dearest checks that a sidecar may have to word and to read end within its fuel.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { type CompiledMesh, compileMesh } from '../src/control/compile-mesh.ts'
import { BOTH_SIDES, type Sidecars } from '../src/dataplane/sidecar.ts'
import type { Answer } from '../src/dataplane/sidecar-decision.ts'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { factsOf, NOW, RANDOM, realSidecars } from './sidecar-phases.ts'

const MOST_HEAD = 65_536
const CONDITIONS = 490

let mesh: CompiledMesh
let sidecars: Sidecars
before(async () => {
  const provider = {
    service: '127.0.0.1',
    port: 9,
    includeRequestHeadersInCheck: [...Array.from({ length: 63 }, (_, i) => `*no-such-suffix-${i}`), '*'],
    headersToUpstreamOnAllow: Array.from({ length: 64 }, (_, i) => `*suffix-${i}`),
    headersToDownstreamOnDeny: Array.from({ length: 64 }, (_, i) => `*suffix-${i}`),
  }
  const when = Array.from({ length: CONDITIONS }, (_, i) => ({
    key: `request.headers[x-absent-${i}]`,
    notValues: ['a'],
  }))
  const resources = [
    {
      apiVersion: 'mayfly.dev/v1',
      kind: 'MeshConfig',
      metadata: { name: 'mesh' },
      spec: {
        defaultAuthorization: 'allow',
        extensionProviders: [{ name: 'authz', envoyExtAuthzHttp: provider }],
      },
    },
    {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Service',
      metadata: { name: 'cart', namespace: 'shop' },
      spec: { template: { spec: { containers: [{ image: 'endpoint:127.0.0.1:9001' }] } } },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'ask', namespace: 'shop' },
      spec: { action: 'CUSTOM', provider: { name: 'authz' }, rules: [{ when }] },
    },
  ]
  const read = readManifests([
    { path: 'm.yaml', text: resources.map((one) => JSON.stringify(one)).join('\n---\n') },
  ])
  if (!read.ok) throw new Error(read.errors.map(formatManifestError).join('\n'))
  const compiled = compileMesh(read.resources)
  if (!compiled.ok) throw new Error(compiled.errors.map(formatManifestError).join('\n'))
  mesh = compiled.mesh
  sidecars = await realSidecars()
  sidecars.maxHeadBytes = MOST_HEAD
})

/** A head of about `size` bytes with 120 fields, alike in their hash's input for as long as may be. */
function headOf(size: number): Buffer {
  const value = 'v'.repeat(Math.floor(size / 120) - 20)
  const fields = Array.from({ length: 118 }, (_, i) => `x-field-${String(i).padStart(3, '0')}: ${value}\r\n`)
  return Buffer.from(`GET /a HTTP/1.1\r\nhost: cart.shop.localhost\r\n${fields.join('')}\r\n`, 'latin1')
}

/** A check service's answer with 48 fields of `bytes` in all. */
function answerOf(status: number, bytes: number, body: number): Buffer {
  const count = 48
  const header = Buffer.alloc(16)
  header.writeUInt32LE(status, 0)
  header.writeUInt32LE(count, 8)
  header.writeUInt32LE(body, 12)
  const fields = Array.from({ length: count }, (_, i) => {
    const name = `x-name-that-ends-in-suffix-${i}`
    const value = 'w'.repeat(Math.floor(bytes / count) - name.length)
    const lengths = Buffer.alloc(4)
    lengths.writeUInt16LE(name.length, 0)
    lengths.writeUInt16LE(value.length, 2)
    return Buffer.concat([lengths, Buffer.from(name + value, 'latin1')])
  })
  return Buffer.concat([header, ...fields, Buffer.alloc(body, 0x62)])
}

for (const [what, size, status, body] of [
  ['a permission for a small head', 8_000, 200, 0],
  ['a permission for the largest head', 62_000, 200, 0],
  ['a refusal for a small head', 8_000, 403, 32_768],
  ['a refusal for the largest head', 62_000, 403, 32_768],
] as const) {
  test(`${what} is judged, both runs in one sandbox`, () => {
    const head = headOf(size)
    const { policy } = mesh.functions.get('shop/cart')!
    const opened = sidecars.open(head, 0, head.length, factsOf(DIRECTION_INGRESS), NOW, RANDOM)
    assert.equal(opened.kind, 'opened', JSON.stringify(opened))
    const first = sidecars.judge(policy.bytes, 'shop/cart', 8080, BOTH_SIDES, [])
    assert.equal(first.kind, 'needs', JSON.stringify(first))
    const answers: Answer[] =
      first.kind === 'needs'
        ? first.needs.map((need) => ({ need, bytes: answerOf(status, 12_000, body) }))
        : []
    assert.ok(answers[0]!.need.key.length > size * 0.8)
    const decision = sidecars.judge(policy.bytes, 'shop/cart', 8080, BOTH_SIDES, answers)
    assert.equal(decision.kind, status === 200 ? 'forward' : 'denied', JSON.stringify(decision))
    if (decision.kind === 'denied') {
      assert.deepEqual([decision.denial.status, decision.denial.text.length], [403, body])
    }
  })
}
