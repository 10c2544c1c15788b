// "..;x" is ".." to servers that cut parameters off before they resolve dots: no policy about a path is passed by it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DIRECTION_INGRESS, REASON_PATH } from '../src/sidecar/layout/record.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'

const sidecars = await realSidecars()
const FORMS = ['BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES']

for (const normalization of FORMS) {
  const policy = openPolicy({ pathNormalization: { normalization } })
  const forwarded = (path: string) => {
    const head = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: cart\r\n\r\n`)
    assert.equal(sidecars.open(head, 0, head.length, factsOf(DIRECTION_INGRESS), NOW, RANDOM).kind, 'opened')
    const decision = sidecars.decide(policy, 'shop/cart', 8080)
    if (decision.kind === 'denied') assert.equal(decision.denial.reason, REASON_PATH)
    return decision.kind === 'forward' ? decision.head.toString('latin1').split(' ')[1] : decision.kind
  }

  test(`${normalization}: dot segments with parameters are refused`, () => {
    for (const segment of ['..;', '.;', '..;a=b', '.;a', '%2e%2e;', '.%2E;x', '..;..', '.;.']) {
      for (const path of [`/a/${segment}/b`, `/a/${segment}`, `/${segment}/a`, `/a\\${segment}\\b`]) {
        assert.equal(forwarded(path), 'denied', path)
      }
    }
  })

  test(`${normalization}: other parameters and dots go on`, () => {
    for (const path of [
      '/a;x/b',
      '/a/...;/b',
      '/a/;/b',
      '/a..;/b',
      '/a/.b;/c',
      '/.well-known;x',
      '/a/..a;',
      '/a;.',
    ]) {
      assert.equal(forwarded(path), path)
    }
    assert.equal(forwarded('/a/b;x/../c?d=/..;/'), '/a/c?d=/..;/')
  })
}
