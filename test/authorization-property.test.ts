// The guest against the reference: generated policies and requests, no difference. PAIRS=100000 judges more of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import {
  DECLARED_PORT,
  labels,
  OTHER_PORT,
  policies,
  ROOT_NAMESPACE,
  request,
  TRUST_DOMAINS,
} from './authorization-arbitraries.ts'
import { judgeByReference, type ReferenceRequest } from './authorization-reference.ts'
import { compileWorld, Judge, readWorld } from './sidecar-judge.ts'

const REQUESTS = 20
const PAIRS = Number(process.env.PAIRS ?? 20_000)

/** One proxy is trusted, so that remote.ip is what it says; a Sidecar opens a second port. */
const { world, fn } = readWorld(
  `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: payment, namespace: shop}
spec: {template: {spec: {containers: [{image: 'endpoint:127.0.0.1:9001', ports: [{containerPort: ${DECLARED_PORT}}]}]}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: ports, namespace: shop}
spec: {ingress: [{port: {number: ${DECLARED_PORT}, protocol: HTTP}}, {port: {number: ${OTHER_PORT}, protocol: HTTP}}]}
---
apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {rootNamespace: ${ROOT_NAMESPACE}, defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}}
`,
  'shop/payment',
)

test('the guest and the reference agree on every policy and request', async () => {
  const judge = await Judge.load()
  const seen = { allowed: 0, denied: 0, byRule: 0, audited: 0 }
  fc.assert(
    fc.property(
      policies,
      labels,
      fc.constantFrom(...TRUST_DOMAINS),
      fc.constantFrom('deny' as const, 'allow' as const),
      fc.array(request, { minLength: REQUESTS, maxLength: REQUESTS }),
      (authorizationPolicies, labels, trustDomain, defaultAuthorization, requests) => {
        const config = { ...world.config, trustDomain, defaultAuthorization }
        const labelled = { ...fn, labels }
        const compiled = compileWorld({ ...world, config, authorizationPolicies }, labelled)
        for (const asked of requests) {
          const judged = judge.judge(compiled, labelled, questionOf(asked))
          const { allowed, by, audited } = judged
          assert.deepEqual(
            { allowed, by, audited },
            judgeByReference(authorizationPolicies, labelled, config, asked),
          )
          if (!allowed) assert.equal(judged.status, 403)
          seen[allowed ? 'allowed' : 'denied']++
          if (by !== '') seen.byRule++
          seen.audited += audited.length
        }
      },
    ),
    { numRuns: Math.ceil(PAIRS / REQUESTS) },
  )
  // Agreement says something only if rules are what decides.
  assert.ok(
    seen.byRule > PAIRS / 10 && seen.allowed > PAIRS / 10 && seen.denied > PAIRS / 10,
    JSON.stringify(seen),
  )
})

function questionOf(asked: ReferenceRequest) {
  const { peer, method, authority, sourceIp, localIp } = asked
  return {
    direction: DIRECTION_INGRESS,
    ...{ peer, method, authority, sourceIp, localIp },
    path: `${asked.path}?q=/admin`,
    headers: [...asked.headers, ['x-forwarded-for', `9.9.9.9, ${asked.remoteIp}`] as const],
  }
}
