import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileWorld, Judge, readWorld } from './sidecar-judge.ts'

const MANIFESTS = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {template: {spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: some, namespace: shop}
spec:
  rules:
  - when: [{key: 'request.headers[x-a]', values: [other]}]
  - when:
    - {key: 'request.headers[x-b]', values: [secret]}
    - {key: 'request.headers[x-a]', values: [secret]}
`

test('a list of repeated fields is not mistaken for the field that was judged after it', async () => {
  const judge = await Judge.load()
  const { world, fn } = readWorld(MANIFESTS, 'shop/cart')
  const headers = (a: string[]) => [...a.map((value) => ['X-A', value] as const), ['X-B', 'secret'] as const]
  const policy = compileWorld(world, fn)
  assert.equal(judge.judge(policy, fn, { headers: headers(['1', '2']) }).allowed, false)
  assert.equal(judge.judge(policy, fn, { headers: headers(['secret']) }).allowed, true)
})
