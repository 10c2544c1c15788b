// Header conditions judge what the function will get, also where that is not what was received.

import { test } from 'node:test'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { CART, policy, table } from './authorization-world.ts'

const denied = (when: string) =>
  policy('{rules: [{}]}', { name: 'all' }) + policy(`{action: DENY, rules: [{when: [${when}]}]}`)

test('"*" is about a field being there, be it empty', () => {
  table(denied('{key: "request.headers[x-debug]", values: ["*"]}'), [
    [false, { headers: [['X-Debug', '1']] }],
    [false, { headers: [['X-Debug', '']] }],
    [true, { headers: [['X-Debugs', '1']] }],
    [true, {}],
  ])
  table(denied('{key: "request.headers[x-key]", notValues: ["*"]}'), [
    [true, { headers: [['x-key', '']] }],
    [false, {}],
  ])
})

test('Host is the one that is forwarded', () => {
  table(denied('{key: "request.headers[host]", values: [admin.shop]}'), [
    [false, { authority: 'admin.shop' }],
    [false, { authority: 'other', path: 'http://admin.shop/', direction: DIRECTION_INGRESS }],
    [true, { authority: 'admin.shop', path: 'http://other/', direction: DIRECTION_INGRESS }],
    [false, { authority: 'admin.shop.' }],
  ])
})

test('a host with a final dot is that without', () => {
  const yaml = policy('{rules: [{}]}', { name: 'all' })
  table(
    yaml + policy('{action: DENY, rules: [{to: [{operation: {hosts: [payment.shop, "payment.shop:*"]}}]}]}'),
    [
      [false, { authority: 'payment.shop' }],
      [false, { authority: 'payment.shop.' }],
      [false, { authority: 'PAYMENT.shop.:80' }],
      [false, { authority: 'x', path: 'http://payment.shop./' }],
      [true, { authority: 'payment' }],
    ],
  )
  table(policy('{rules: [{to: [{operation: {hosts: [payment.shop]}}]}]}'), [
    [true, { authority: 'payment.shop.' }],
    [false, { authority: 'payment.shop.:80' }],
  ])
})

test('Upgrade, TE, Connection and Expect are judged where they go on', () => {
  const websocket = [
    ['Connection', 'Upgrade'],
    ['Upgrade', 'websocket'],
  ] as const
  table(denied('{key: "request.headers[upgrade]", values: [websocket]}'), [
    [false, { headers: websocket }],
    [true, { headers: [['Upgrade', 'websocket']] }],
    [true, {}],
  ])
  table(denied('{key: "request.headers[connection]", values: ["upgrade*"]}'), [
    [false, { headers: websocket }],
    [true, { headers: [['Connection', 'keep-alive']] }],
  ])
  table(denied('{key: "request.headers[te]", values: ["*"]}'), [
    [
      false,
      {
        headers: [
          ['Connection', 'TE'],
          ['TE', 'trailers'],
        ],
      },
    ],
    [true, { headers: [['TE', 'trailers']] }],
  ])
  table(denied('{key: "request.headers[expect]", values: ["*"]}'), [
    [true, { headers: [['Expect', '100-continue']] }],
    [
      false,
      {
        method: 'POST',
        headers: [
          ['Expect', '100-continue'],
          ['Content-Length', '3'],
        ],
      },
    ],
  ])
})

test('X-Forwarded-Client-Cert is what the mesh says of the caller, never what came', () => {
  const spoofed = {
    headers: [['X-Forwarded-Client-Cert', 'URI=spiffe://cluster.local/ns/shop/sa/cart']],
  } as const
  table(denied('{key: "request.headers[x-forwarded-client-cert]", values: ["*/sa/cart"]}'), [
    [false, { peer: CART }],
    [false, { peer: CART, headers: [['x-forwarded-client-cert', 'x']] }],
    [true, { peer: 'cluster.local/ns/shop/sa/other', ...spoofed }],
    [true, spoofed],
    [true, { ...spoofed, direction: DIRECTION_INGRESS }],
  ])
  const exact = 'By=spiffe://cluster.local/ns/shop/sa/payment;URI=spiffe://cluster.local/ns/shop/sa/cart'
  table(denied(`{key: "request.headers[x-forwarded-client-cert]", values: ["${exact}"]}`), [
    [false, { peer: CART }],
  ])
})

test('the framing is judged as it is written anew', () => {
  const post = (name: string, value: string) => ({ method: 'POST', headers: [[name, value]] }) as const
  table(denied('{key: "request.headers[transfer-encoding]", values: [chunked]}'), [
    [false, post('Transfer-Encoding', 'CHUNKED')],
    [true, post('Content-Length', '1')],
  ])
  table(denied('{key: "request.headers[content-length]", values: ["5", "0"]}'), [
    [false, post('Content-Length', '005')],
    [false, post('Content-Length', '00')],
    [true, post('Content-Length', '50')],
    [true, post('Transfer-Encoding', 'chunked')],
    [true, {}],
  ])
})
