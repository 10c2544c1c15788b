// Every condition key through the real guest.

import { describe, test } from 'node:test'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { CART, policy, table } from './authorization-world.ts'

describe('conditions', () => {
  const when = (key: string, lists: string) => policy(`{rules: [{when: [{key: "${key}", ${lists}}]}]}`)
  const fields = (...headers: [string, string][]) => ({ headers })

  test('header fields: by name without regard to case, repeated ones joined', () => {
    table(when('request.headers[X-Tenant]', 'values: [a, "b*"]'), [
      [true, fields(['x-tenant', 'a'])],
      [true, fields(['X-TENANT', 'bcd'])],
      [false, fields(['x-tenant', 'A'])],
      [false, fields(['x-tenant', 'a'], ['x-tenant', 'c'])],
      [false, fields(['x-tenants', 'a'])],
      [false, {}],
    ])
    table(when('request.headers[x-tenant]', 'values: ["a,b"]'), [
      [true, fields(['x-tenant', 'a'], ['X-Tenant', 'b'])],
      [true, fields(['x-tenant', 'a,b'])],
      [false, fields(['x-tenant', 'a, b'])],
    ])
    table(when('request.headers[cookie]', 'values: ["a=1; b=2"]'), [
      [true, fields(['cookie', 'a=1'], ['cookie', 'b=2'])],
    ])
  })

  test('conditions on several repeated fields do not take one for the other', () => {
    const keys = ['x', 'y', 'x', 'z', 'y', 'x-forwarded-for', 'z', 'x']
    const values: Record<string, string> = {
      x: 'x1,x2',
      y: 'y1,y2',
      z: 'z',
      'x-forwarded-for': '1.1.1.1,10.0.0.1',
    }
    const conditions = keys.map((name) => ({ key: `request.headers[${name}]`, values: [values[name]] }))
    const question = {
      direction: DIRECTION_INGRESS,
      ...fields(
        ['x', 'x1'],
        ['y', 'y1'],
        ['z', 'z'],
        ['x', 'x2'],
        ['y', 'y2'],
        ['x-forwarded-for', '1.1.1.1'],
      ),
    }
    table(policy(JSON.stringify({ rules: [{ when: conditions }] })), [[true, question]])
    const other = conditions.with(-1, { key: 'request.headers[x]', values: ['z'] })
    table(policy(JSON.stringify({ rules: [{ when: other }] })), [[false, question]])
  })

  test('a field that is not there matches no value, so notValues holds', () => {
    table(when('request.headers[x]', 'values: ["*"]'), [
      [false, {}],
      [true, fields(['x', 'y'])],
      [true, fields(['x', ''])],
    ])
    table(when('request.headers[x]', 'notValues: ["*"]'), [
      [true, {}],
      [false, fields(['x', 'y'])],
    ])
    table(when('request.headers[x]', 'values: ["*"], notValues: [bad]'), [
      [true, fields(['x', 'y'])],
      [false, fields(['x', 'bad'])],
    ])
  })

  test('what the mesh does not forward is not seen', () => {
    const internal = ['x-mayfly-role', 'x-envoy-internal', 'x-forwarded-client-cert', 'keep-alive']
    for (const name of internal) {
      table(when(`request.headers[${name}]`, 'values: ["*"]'), [
        [false, { direction: DIRECTION_INGRESS, headers: [[name, 'x']] }],
      ])
    }
    table(when('request.headers[x-user]', 'values: ["*"]'), [
      [true, fields(['x-user', 'x'])],
      [false, fields(['x-user', 'x'], ['connection', 'x-user'])],
    ])
  })

  test('what the mesh says of the way is seen', () => {
    const ingress = { direction: DIRECTION_INGRESS, sourceIp: '10.0.0.9' }
    const spoofed = {
      ...ingress,
      ...fields(['x-forwarded-for', '1.1.1.1'], ['x-forwarded-proto', 'https'], ['x-request-id', 'x']),
    }
    table(when('request.headers[x-forwarded-for]', 'values: ["1.1.1.1"]'), [[false, spoofed]])
    table(when('request.headers[x-forwarded-for]', 'values: ["1.1.1.1,10.0.0.9"]'), [[true, spoofed]])
    table(when('request.headers[x-forwarded-for]', 'values: ["10.0.0.9"]'), [[true, ingress]])
    table(when('request.headers[x-forwarded-proto]', 'values: [http]'), [
      [true, spoofed],
      [true, ingress],
    ])
    table(when('request.headers[x-request-id]', 'values: [x]'), [[false, spoofed]])
    table(when('request.headers[x-request-id]', 'values: ["*"]'), [[true, ingress]])
    table(when('request.headers[traceparent]', 'values: [x]'), [[true, fields(['traceparent', 'x'])]])
    table(when('request.headers[x-forwarded-for]', 'values: ["1.1.1.1"]'), [
      [true, fields(['x-forwarded-for', '1.1.1.1'])],
    ])
  })

  test('the host field is the authority', () => {
    table(when('request.headers[Host]', 'values: [payment.shop]'), [
      [true, {}],
      [false, { authority: 'Payment.shop' }],
    ])
  })

  test('attributes of the connection', () => {
    table(when('source.ip', 'values: ["10.0.0.0/8"]'), [
      [true, {}],
      [false, { sourceIp: '11.0.0.1' }],
    ])
    table(when('remote.ip', 'notValues: ["10.0.0.1"]'), [
      [false, {}],
      [true, { sourceIp: '10.0.0.3' }],
    ])
    table(when('destination.ip', 'values: ["10.0.0.2"]'), [
      [true, {}],
      [false, { localIp: '10.0.0.1' }],
    ])
    table(when('destination.port', 'values: ["8080"]'), [[true, {}]])
    table(when('source.namespace', 'values: [shop]'), [
      [true, { peer: CART }],
      [false, {}],
    ])
    table(when('source.principal', 'notValues: ["*/sa/cart"]'), [
      [false, { peer: CART }],
      [true, {}],
    ])
    for (const key of [
      'connection.sni',
      'request.auth.principal',
      'request.auth.audiences',
      'request.auth.presenter',
      'request.auth.claims[a][b]',
    ]) {
      table(when(key, 'values: ["*"]'), [[false, { peer: CART }]])
      table(when(key, 'notValues: ["*"]'), [[true, {}]])
    }
  })

  test('all conditions must hold', () => {
    const yaml = policy(
      '{rules: [{when: [{key: source.namespace, values: [shop]}, {key: "request.headers[x]", values: [y]}]}]}',
    )
    table(yaml, [
      [true, { peer: CART, ...fields(['x', 'y']) }],
      [false, { peer: CART }],
      [false, fields(['x', 'y'])],
    ])
  })
})
