import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FunctionSpec } from '../api/function-spec.ts'
import { readManifests } from '../api/read-manifests.ts'
import { allowPolicyYaml } from './allow-policy.ts'

function fn(key: string): FunctionSpec {
  const [namespace, name] = key.split('/')
  return {
    key,
    namespace,
    name,
    principal: `cluster.local/ns/${namespace}/sa/${name}`,
  } as unknown as FunctionSpec
}

test('the policy that permits a call', () => {
  assert.equal(
    allowPolicyYaml(fn('shop/cart'), fn('shop/payment')),
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: payment-allows-cart
  namespace: shop
spec:
  selector:
    matchLabels:
      serving.knative.dev/service: payment
  action: ALLOW
  rules:
    - from:
        - source:
            principals:
              - cluster.local/ns/shop/sa/cart
`,
  )
})

test('it is a valid manifest, also between namespaces and for long names', () => {
  const long = `${'a'.repeat(62)}b`
  for (const [caller, callee] of [
    ['dev/cart', 'shop/payment'],
    [`shop/${long}`, `dev/${long}`],
  ] as const) {
    const reading = readManifests([{ path: 'allow.yaml', text: allowPolicyYaml(fn(caller), fn(callee)) }])
    assert.ok(reading.ok, JSON.stringify(reading))
  }
})
