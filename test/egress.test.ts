// Sidecar resources through the real guest: which callees a caller may know, and at which ports a function is called.

import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import {
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  REASON_EGRESS,
  REASON_OUTSIDE,
  REASON_PORT,
} from '../src/sidecar/layout/record.ts'
import { compileWorld, Judge, type Question, readWorld } from './sidecar-judge.ts'

const CART = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {template: {metadata: {labels: {app: cart}}, spec: {containers: [{image: 'endpoint:127.0.0.1:9001', ports: [{containerPort: 8081}]}]}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: shop}
spec: {rules: [{}]}
`

let judge: Judge
before(async () => {
  judge = await Judge.load()
})

function sidecar(spec: string, { name = 'default', namespace = 'shop' } = {}): string {
  return `\n---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`
}

function egress(...hosts: string[]): string {
  return `{egress: [{hosts: ${JSON.stringify(hosts)}}]}`
}

function ask(yaml: string, question: Question) {
  const { world, fn } = readWorld(CART + yaml, 'shop/cart')
  return judge.judge(compileWorld(world, fn), fn, question)
}

/** A call of cart to a host that the engine has resolved to `target`. */
function call(yaml: string, authority: string, target: string) {
  return ask(yaml, { direction: DIRECTION_OUTBOUND, authority, target })
}

describe('without a Sidecar', () => {
  test('every function may be called, as far as its own policy goes', () => {
    assert.ok(call('', 'payment', 'shop/payment').allowed)
    assert.ok(call('', 'payment.dev', 'dev/payment').allowed)
  })

  test('what names no function is outside', () => {
    for (const host of ['example.com', 'nobody', 'www.example.org', 'nobody.shop.svc.cluster.local']) {
      const { status, reason, text } = call('', host, '')
      assert.deepEqual(
        [status, reason, text],
        [403, REASON_OUTSIDE, `${host} is not a function that shop/cart may call`],
      )
    }
  })
})

describe('egress hosts', () => {
  test('allow what they list', () => {
    const cases = [
      ['./*', 'shop/payment', true],
      ['./*', 'dev/payment', false],
      ['*/*', 'dev/payment', true],
      ['dev/*', 'dev/payment', true],
      ['dev/*', 'dev-2/payment', false],
      ['~/*', 'shop/payment', false],
      ['./payment.shop.svc.cluster.local', 'shop/payment', true],
      ['./payment.shop.svc.cluster.local', 'shop/payments', false],
      ['*/*.shop.svc.cluster.local', 'shop/payment', true],
      ['*/*.shop.svc.cluster.local', 'dev/payment', false],
      ['dev/*.shop.svc.cluster.local', 'shop/payment', false],
      ['*/payment', 'dev/payment', true],
      ['*/payment', 'dev/my-payment', false],
    ] as const
    for (const [host, target, allowed] of cases) {
      const [namespace, name] = target.split('/')
      assert.equal(
        call(sidecar(egress(host)), `${name}.${namespace}`, target).allowed,
        allowed,
        `${host} ${target}`,
      )
    }
  })

  test('a callee that is not listed looks like one that does not exist', () => {
    const yaml = sidecar(egress('./stock.shop.svc.cluster.local'))
    for (const host of ['payment', 'payment.shop', 'PAYMENT.shop.svc', 'payment.shop.svc.cluster.local:80']) {
      const exists = call(yaml, host, 'shop/payment')
      assert.deepEqual(exists, call(yaml, host, ''), host)
      assert.deepEqual([exists.status, exists.reason], [403, REASON_EGRESS])
      const shown = host.toLowerCase().replace(':80', '')
      assert.equal(
        exists.text,
        `${shown} is not a function that shop/cart may call: Sidecar shop/default does not list shop/payment in egress.hosts`,
      )
    }
  })

  test('a callee that is listed and does not exist is not blamed on the Sidecar', () => {
    const { reason, text } = call(sidecar(egress('./*')), 'nobody', '')
    assert.deepEqual([reason, text], [REASON_OUTSIDE, 'nobody is not a function that shop/cart may call'])
  })

  test('a host that can be no function is outside', () => {
    for (const host of ['www.example.com', '[2001:db8::1]', 'a.b.c.d.e']) {
      const { status, reason, text } = call(sidecar(egress('*/*')), host, '')
      assert.deepEqual([status, reason], [403, REASON_OUTSIDE], host)
      assert.ok(text.endsWith('is not a function that shop/cart may call'), text)
    }
  })
})

describe('which Sidecar holds', () => {
  const selecting = (labels: string, hosts: string) =>
    sidecar(`{workloadSelector: {labels: {${labels}}}, egress: [{hosts: [${JSON.stringify(hosts)}]}]}`, {
      name: 'own',
    })

  test("the one that selects the function, then the namespace's, then the root namespace's", () => {
    const root = sidecar(egress('c/*'), { namespace: 'mayfly-system' })
    const wide = sidecar(egress('b/*'))
    const listed = (yaml: string) =>
      ['a', 'b', 'c'].filter((ns) => call(yaml, `x.${ns}`, `${ns}/x`).allowed).join()
    assert.equal(listed(root), 'c')
    assert.equal(listed(root + wide), 'b')
    assert.equal(listed(root + wide + selecting('app: cart', 'a/*')), 'a')
    assert.equal(listed(root + wide + selecting('"serving.knative.dev/service": cart', 'a/*')), 'a')
    assert.equal(listed(root + wide + selecting('app: other', 'a/*')), 'b')
    assert.equal(listed(sidecar(egress('a/*'), { namespace: 'dev' })), 'a,b,c')
  })

  test('one without egress leaves it to the next wider one', () => {
    const own = sidecar(
      '{workloadSelector: {labels: {app: cart}}, ingress: [{port: {number: 9080, protocol: HTTP}}]}',
      { name: 'own' },
    )
    assert.ok(!call(own + sidecar(egress('b/*')), 'x.a', 'a/x').allowed)
    assert.ok(call(own, 'x.a', 'a/x').allowed)
  })

  test('"." in the root namespace\'s Sidecar is the caller\'s namespace', () => {
    const root = sidecar(egress('./*'), { namespace: 'mayfly-system' })
    assert.ok(call(root, 'payment', 'shop/payment').allowed)
    assert.ok(!call(root, 'x.mayfly-system', 'mayfly-system/x').allowed)
  })
})

describe('ports', () => {
  const at = (authority: string, direction = DIRECTION_INBOUND) => ({ authority, direction, localPort: 8000 })

  test('the declared one, however it is named', () => {
    for (const authority of ['cart.shop', 'cart.shop:80', 'cart.shop:8000', 'cart.shop:8081']) {
      assert.ok(ask('', at(authority)).allowed, authority)
      assert.ok(ask('', at(authority, DIRECTION_INGRESS)).allowed, authority)
    }
    const { status, reason, text } = ask('', at('cart.shop:9999'))
    assert.deepEqual([status, reason], [403, REASON_PORT])
    assert.equal(text, 'shop/cart does not accept requests on port 9999: it accepts 8081')
    assert.equal(ask('', at('cart.shop:443')).allowed, false)
  })

  test('those of the Sidecar in place of it', () => {
    const yaml = sidecar(
      '{ingress: [{port: {number: 9080, protocol: HTTP}}, {port: {number: 9081, protocol: HTTP}}]}',
    )
    assert.ok(ask(yaml, at('cart.shop:9080')).allowed)
    assert.ok(ask(yaml, at('cart.shop:9081')).allowed)
    const { text } = ask(yaml, at('cart.shop'))
    assert.equal(text, 'shop/cart does not accept requests on port 8081: it accepts 9080, 9081')
  })

  test('the port asked for is what policies call the port', () => {
    const yaml =
      sidecar('{ingress: [{port: {number: 8081, protocol: HTTP}}, {port: {number: 9080, protocol: HTTP}}]}') +
      '\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: no, namespace: shop}\n' +
      'spec: {action: DENY, rules: [{to: [{operation: {ports: ["9080"]}}]}]}\n'
    assert.ok(ask(yaml, at('cart.shop')).allowed)
    assert.equal(ask(yaml, at('cart.shop:9080')).by, 'shop/no#0')
  })
})
