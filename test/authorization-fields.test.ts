// Every field of sources and operations, in every form, through the real guest.

import { describe, test } from 'node:test'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { CART, meshConfig, policy, table } from './authorization-world.ts'

describe('sources', () => {
  const from = (source: string) => policy(`{rules: [{from: [{source: {${source}}}]}]}`)

  test('principals', () => {
    const forms = [
      ['principals: ["*"]', true, false],
      ['principals: [cluster.local/ns/shop/sa/cart]', true, false],
      ['principals: [cluster.local/ns/shop/sa/car]', false, false],
      ['principals: ["cluster.local/ns/shop/*"]', true, false],
      ['principals: ["*/sa/cart"]', true, false],
      ['principals: ["*/ns/shop/sa/cart"]', true, false],
      ['notPrincipals: ["*"]', false, true],
      ['notPrincipals: [cluster.local/ns/shop/sa/cart]', false, true],
      ['notPrincipals: [cluster.local/ns/shop/sa/other]', true, true],
      ['namespaces: [shop]', true, false],
      ['namespaces: ["sho*"]', true, false],
      ['namespaces: ["*op"]', true, false],
      ['namespaces: [sho]', false, false],
      ['namespaces: ["*"]', true, false],
      ['notNamespaces: [shop]', false, true],
      ['notNamespaces: [dev]', true, true],
      ['serviceAccounts: [cart]', true, false],
      ['serviceAccounts: [shop/cart]', true, false],
      ['serviceAccounts: [dev/cart]', false, false],
      ['notServiceAccounts: [cart]', false, true],
    ] as const
    for (const [source, ofCart, ofNobody] of forms) {
      table(from(source), [
        [ofCart, { peer: CART }],
        [ofNobody, { peer: '' }],
      ])
    }
  })

  test('cluster.local stands for the trust domain of the mesh', () => {
    const yaml =
      from('principals: [cluster.local/ns/shop/sa/cart]') + meshConfig('{trustDomain: mesh.example}')
    table(yaml, [
      [true, { peer: 'mesh.example/ns/shop/sa/cart' }],
      [false, { peer: CART }],
      [false, { peer: 'other/ns/shop/sa/cart' }],
    ])
  })

  test('IP blocks are about the peer, remote IP blocks about the client', () => {
    table(from('ipBlocks: ["10.1.0.0/16", "2001:db8::/32"]'), [
      [true, { sourceIp: '10.1.255.255' }],
      [false, { sourceIp: '10.2.0.0' }],
      [true, { sourceIp: '2001:db8:ffff::1' }],
      [false, { sourceIp: '2001:db9::1' }],
    ])
    table(from('ipBlocks: ["::/0"]'), [
      [false, { sourceIp: '10.1.2.3' }],
      [true, { sourceIp: '::1' }],
    ])
    const proxied = meshConfig('{defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}}')
    const client = (address: string) => ({
      direction: DIRECTION_INGRESS,
      sourceIp: '10.0.0.9',
      headers: [['x-forwarded-for', address]] as const,
    })
    table(from('remoteIpBlocks: ["203.0.113.0/24"]') + proxied, [
      [true, client('1.1.1.1, 203.0.113.7')],
      [false, client('203.0.113.7, 1.1.1.1')],
    ])
    table(from('notRemoteIpBlocks: ["10.0.0.0/8"]'), [[false, client('1.1.1.1')]])
  })

  test('no request has a token yet', () => {
    table(from('requestPrincipals: ["*"]'), [[false, { peer: CART }]])
    table(from('notRequestPrincipals: ["*"]'), [[true, {}]])
  })
})

describe('operations', () => {
  const to = (operation: string) => policy(`{rules: [{to: [{operation: {${operation}}}]}]}`)

  test('hosts are compared with their port and without regard to case', () => {
    table(to('hosts: [Payment.Shop]'), [
      [true, { authority: 'PAYMENT.shop' }],
      [false, { authority: 'payment.shop:8080' }],
      [false, { authority: 'payment.shop.svc' }],
    ])
    table(to('hosts: ["payment.shop:*", payment.shop]'), [
      [true, { authority: 'payment.shop' }],
      [true, { authority: 'Payment.shop:8080' }],
    ])
    table(to('hosts: ["*.SHOP"]'), [[true, { authority: 'payment.shop' }]])
    table(to('notHosts: [payment.shop]'), [
      [false, { authority: 'PAYMENT.SHOP' }],
      [true, { authority: 'payment' }],
    ])
  })

  test('methods are compared as they are', () => {
    table(to('methods: [GET]'), [
      [true, { method: 'GET' }],
      [false, { method: 'GETS' }],
    ])
    table(to('methods: ["*"]'), [[true, { method: 'BREW' }]])
    table(to('methods: ["P*"]'), [
      [true, { method: 'PATCH' }],
      [false, { method: 'GET' }],
    ])
  })

  test('paths, without query', () => {
    table(to('paths: [/a]'), [
      [true, { path: '/a?b=/c' }],
      [false, { path: '/A' }],
      [false, { path: '/a/' }],
    ])
    table(to('paths: ["/a*"]'), [
      [true, { path: '/a' }],
      [true, { path: '/ab' }],
      [false, { path: '/' }],
    ])
    table(to('paths: ["*.js"]'), [
      [true, { path: '/x.js' }],
      [false, { path: '/x?y=.js' }],
    ])
    table(to('paths: ["*"]'), [[true, { path: '/' }]])
    table(to('notPaths: ["/admin*"]'), [
      [false, { path: '/admin?x' }],
      [true, { path: '/user' }],
    ])
  })

  test("ports are the function's", () => {
    table(to('ports: ["8080"]'), [
      [true, {}],
      [true, { authority: 'payment.shop:80' }],
    ])
    table(to('ports: ["80"]'), [[false, { authority: 'payment.shop:80' }]])
    table(to('notPorts: ["8080"]'), [[false, {}]])
  })
})
