import assert from 'node:assert/strict'
import { test } from 'node:test'
import { egressHostMatch } from './egress-host.ts'

test('an egress host means callees', () => {
  const any = { form: 'present' }
  const cases = [
    ['*/*', any],
    ['./*', { form: 'prefix', text: 'shop/' }],
    ['prod/*', { form: 'prefix', text: 'prod/' }],
    ['~/*', null],
    ['*/payment.shop.svc.cluster.local', { form: 'exact', text: 'shop/payment' }],
    ['shop/payment.shop.svc.cluster.local', { form: 'exact', text: 'shop/payment' }],
    ['./payment.shop.svc.cluster.local', { form: 'exact', text: 'shop/payment' }],
    ['./Payment.Shop.svc.cluster.local', { form: 'exact', text: 'shop/payment' }],
    ['*/payment.shop.svc', { form: 'exact', text: 'shop/payment' }],
    ['*/payment.shop', { form: 'exact', text: 'shop/payment' }],
    ['./payment', { form: 'exact', text: 'shop/payment' }],
    ['*/payment', { form: 'suffix', text: '/payment' }],
    ['*/*.shop.svc.cluster.local', { form: 'prefix', text: 'shop/' }],
    ['prod/*.shop.svc.cluster.local', null],
    ['prod/payment.shop.svc.cluster.local', null],
    ['*/*.svc.cluster.local', any],
    ['prod/*.cluster.local', { form: 'prefix', text: 'prod/' }],
    ['*/*.local', any],
    // No function has such a name.
    ['*/www.example.com', null],
    ['*/*.com', null],
    ['*/*.payment.shop.svc.cluster.local', null],
    ['*/payment.shop.svc.cluster.local.', null],
  ] as const
  for (const [host, match] of cases) assert.deepEqual(egressHostMatch(host, 'shop'), match, host)
})
