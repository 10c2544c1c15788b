// A decision that is made once more from its kept input is the same, byte for byte.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { type CompiledMesh, compileMesh } from '../src/control/compile-mesh.ts'
import { DecisionInputs, fingerprint } from '../src/dataplane/decision-inputs.ts'
import { answerBook, recordedAnswers, redecide } from '../src/dataplane/redecide.ts'
import { BOTH_SIDES, type Sidecars } from '../src/dataplane/sidecar.ts'
import type { Answer, Decision } from '../src/dataplane/sidecar-decision.ts'
import {
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  NEED_EXTERNAL,
} from '../src/sidecar/layout/record.ts'
import { factsOf, realSidecars } from './sidecar-phases.ts'

const MANIFESTS = `apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec:
  accessLogFile: /dev/stdout
  extensionProviders:
  - name: authz
    envoyExtAuthzHttp:
      {service: 127.0.0.1, port: 9, includeRequestHeadersInCheck: ["x-*"], headersToUpstreamOnAllow: ["x-*"]}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {template: {spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec: {action: CUSTOM, provider: {name: authz}, rules: [{to: [{operation: {paths: ["/ask*"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: some, namespace: shop}
spec:
  rules:
  - to: [{operation: {methods: [GET], paths: ["/a*"]}}]
  - when: [{key: "request.headers[x-pass]", values: ["yes"]}]
`

let mesh: CompiledMesh
let sidecars: Sidecars
before(async () => {
  const read = readManifests([{ path: 'm.yaml', text: MANIFESTS }])
  if (!read.ok) throw new Error(read.errors.map(formatManifestError).join('\n'))
  const compiled = compileMesh(read.resources)
  if (!compiled.ok) throw new Error(compiled.errors.map(formatManifestError).join('\n'))
  mesh = compiled.mesh
  sidecars = await realSidecars()
})

/** An answer of a check service: 200 with a field for the function. */
function permission(): Buffer {
  const field = Buffer.from('\x06\x00\x03\x00x-useryou', 'latin1')
  const header = Buffer.alloc(16)
  header.writeUInt32LE(200, 0)
  header.writeUInt32LE(1, 8)
  return Buffer.concat([header, field])
}

function judge(head: Buffer, direction: number, now: number, random: Buffer): Decision {
  const opened = sidecars.open(head, 0, head.length, factsOf(direction), now, random)
  assert.equal(opened.kind, 'opened', JSON.stringify(opened))
  const answers: Answer[] = []
  for (;;) {
    const { policy } = mesh.functions.get('shop/cart')!
    const run = sidecars.judge(policy.bytes, 'shop/cart', 8080, BOTH_SIDES, answers)
    if (run.kind !== 'needs') return run
    for (const need of run.needs) {
      assert.equal(need.kind, NEED_EXTERNAL)
      answers.push({ need, bytes: permission() })
    }
  }
}

test('whatever was judged, judging it once more gives the same bytes', () => {
  const token = fc.stringMatching(/^[a-z][a-z-]{0,10}$/)
  const value = fc.stringMatching(/^[!-~]{0,40}$/)
  const request = fc.record({
    method: fc.constantFrom('GET', 'POST', 'DELETE'),
    path: fc.stringMatching(/^\/(ask|a|b)?[a-z0-9/]{0,20}$/),
    fields: fc.array(fc.tuple(token, value), { maxLength: 12 }),
    pass: fc.boolean(),
    direction: fc.constantFrom(DIRECTION_INGRESS, DIRECTION_INBOUND, DIRECTION_OUTBOUND),
    now: fc.integer({ min: 1, max: 2 ** 42 }),
    random: fc.uint8Array({ minLength: 48, maxLength: 48 }),
  })
  const ends = new Set<string>()
  fc.assert(
    fc.property(request, ({ method, path, fields, pass, direction, now, random }) => {
      const lines = fields.map(([name, text]) => `x-${name}: ${text}\r\n`).join('')
      const text = `${method} ${path} HTTP/1.1\r\nhost: cart.shop\r\n${pass ? 'x-pass: yes\r\n' : ''}${lines}\r\n`
      const head = Buffer.from(text, 'latin1')
      const inputs = new DecisionInputs(1_000_000, 8)
      sidecars.inputs = inputs
      const decision = judge(head, direction, now, Buffer.from(random))
      inputs.keep('shop/cart', 'hash', decision)
      sidecars.inputs = null
      const { requestId } =
        decision.kind === 'forward' ? decision : (decision as { denial: { requestId: string } }).denial
      const kept = inputs.find(requestId)
      assert.equal(kept.length, 1)
      // What lies between must not matter.
      judge(Buffer.from('GET /b HTTP/1.1\r\nhost: other\r\n\r\n'), DIRECTION_INGRESS, 1, Buffer.alloc(48, 3))
      const again = sidecars.redecide(
        kept[0]!,
        mesh.functions.get('shop/cart')!.policy.bytes,
        recordedAnswers(kept[0]!),
      )
      assert.deepEqual(again, decision)
      assert.equal(fingerprint(again as Decision), kept[0]!.outcome)
      const policy = mesh.functions.get('shop/cart')!.policy.bytes
      assert.deepEqual(redecide(sidecars, kept[0]!, policy, answerBook(sidecars, kept[0]!, policy)), decision)
      ends.add(`${decision.kind} ${direction}`)
    }),
    { numRuns: 400 },
  )
  assert.deepEqual([...ends].sort(), ['denied 0', 'denied 2', 'forward 0', 'forward 1', 'forward 2'])
})
