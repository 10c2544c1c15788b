// AuthorizationPolicy through the real guest: Istio's order, the client's text, the largest policies.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { REASON_AUTHORIZATION } from '../src/sidecar/layout/record.ts'
import { ask, CART, meshConfig, policy, table } from './authorization-world.ts'

describe("Istio's order", () => {
  test('without policies the default of the mesh holds', () => {
    table('', [[false, { peer: CART }]])
    table(meshConfig('{defaultAuthorization: allow}'), [[true, {}]])
  })

  test('an ALLOW policy without rules allows nothing, with an empty rule everything', () => {
    const allowing = meshConfig('{defaultAuthorization: allow}')
    table(allowing + policy('{}'), [[false, { peer: CART }]])
    table(policy('{rules: [{}]}'), [[true, {}]])
  })

  test('DENY wins over ALLOW, whatever the names', () => {
    const yaml =
      policy('{rules: [{}]}', { name: 'a' }) +
      policy('{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}', { name: 'b' })
    table(yaml, [
      [true, { method: 'GET' }],
      [false, { method: 'POST' }],
    ])
  })

  test('one matching ALLOW policy of several is enough', () => {
    const yaml =
      policy('{}', { name: 'a' }) + policy('{rules: [{to: [{operation: {methods: [GET]}}]}]}', { name: 'b' })
    table(yaml, [
      [true, { method: 'GET' }],
      [false, { method: 'PUT' }],
    ])
  })

  test('a DENY that does not match leaves the default', () => {
    const deny = policy('{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}')
    table(deny, [[false, {}]])
    table(deny + meshConfig('{defaultAuthorization: allow}'), [
      [true, {}],
      [false, { method: 'POST' }],
    ])
  })

  test('AUDIT is noted only', () => {
    const audit = policy('{action: AUDIT, rules: [{to: [{operation: {methods: [POST]}}]}, {}]}', {
      name: 'audit',
    })
    assert.deepEqual(ask(audit, {}).audited, ['shop/audit#1'])
    assert.equal(ask(audit, {}).allowed, false)
    const judged = ask(audit + policy('{rules: [{}]}'), { method: 'POST' })
    assert.deepEqual([judged.allowed, judged.by, judged.audited], [true, 'shop/p#0', ['shop/audit#0']])
  })
})

describe("the client's text", () => {
  test('names the missing permission', () => {
    const judged = ask('', { peer: CART, path: '/charge?card=1' })
    assert.deepEqual([judged.status, judged.reason, judged.by], [403, REASON_AUTHORIZATION, ''])
    assert.equal(
      judged.text,
      `shop/payment refuses GET /charge from ${CART}: no AuthorizationPolicy allows it`,
    )
    assert.equal(
      ask('', {}).text,
      'shop/payment refuses GET / from a client without identity: no AuthorizationPolicy allows it',
    )
  })

  test('names the rule that denied', () => {
    const yaml = policy('{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}, {}]}', {
      name: 'deny-admin',
    })
    const judged = ask(yaml + policy('{rules: [{}]}'), { peer: CART, path: '/x' })
    assert.equal(judged.by, 'shop/deny-admin#1')
    assert.equal(
      judged.text,
      `shop/payment refuses GET /x from ${CART}: denied by AuthorizationPolicy shop/deny-admin rule 1`,
    )
  })

  test('is cut', () => {
    const { text } = ask('', { path: `/${'a'.repeat(5000)}`, method: 'M'.repeat(32) })
    assert.ok(text.length < 1000 && text.includes(`/${'a'.repeat(255)}... from`), text)
  })
})

test('long lists are compared whole', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `cluster.local/ns/shop/sa/user-${index}`)
  const yaml = policy(JSON.stringify({ rules: [{ from: [{ source: { principals: names } }] }] }))
  const others = ['cluster.local/ns/shop/sa/user-3000', 'cluster.local/ns/shop/sa/user-', CART, '']
  table(yaml, [
    ...names.map((peer) => [true, { peer }] as const),
    ...others.map((peer) => [false, { peer }] as const),
  ])
})

test('the largest policies that compile are judged within the fuel, whatever a client sends', () => {
  const headers = Array.from({ length: 120 }, (_, index) => [`h${index}`, 'v'] as const)
  const repeated = Array.from({ length: 120 }, (_, index) => [`h${index % 2}`, 'v'.repeat(50)] as const)
  const when = (name: (index: number) => string) =>
    Array.from({ length: 500 }, (_, index) => ({
      key: `request.headers[${name(index)}]`,
      notValues: [`a${index}`],
    }))
  const paths = (path: (index: number) => string) => [
    { to: [{ operation: { paths: Array.from({ length: 4000 }, (_, index) => path(index)) } }] },
  ]
  const cases = [
    [true, [{ when: when((index) => `x${index}`) }], { headers }],
    [true, [{ when: when((index) => `h${index % 2}`) }], { headers: repeated }],
    [false, paths((index) => `/{*}/{*}/b${index}`), { path: `/${'a'.repeat(3000)}/${'b'.repeat(3000)}/c` }],
    [false, paths((index) => `/{*}/${'a'.repeat(40)}${index}/{**}`), { path: `/x/${'a'.repeat(6000)}/c` }],
    [false, paths((index) => `/${'a'.repeat(60)}${index}*`), { path: `/${'a'.repeat(6000)}` }],
    [false, paths((index) => `*${index}${'a'.repeat(60)}`), { path: `/${'a'.repeat(6000)}` }],
  ] as const
  for (const [allowed, rules, question] of cases)
    table(policy(JSON.stringify({ rules })), [[allowed, question]])
})
