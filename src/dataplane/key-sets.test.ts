import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mock, test } from 'node:test'
import type { VerificationKey } from '../api/key-set.ts'
import { KeySets } from './key-sets.ts'
import { TokenCache } from './token-cache.ts'

const key = (kid: string): VerificationKey => {
  const { kty, crv, x } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' })
  return { kid, algorithms: ['EdDSA'], jwk: { kty: kty!, crv: crv!, x: x! } }
}
const one = key('one')

function world() {
  let now = 0
  const wanted: string[] = []
  const sets = new KeySets({ wanted: (id) => wanted.push(id), now: () => now })
  const give = (id: string, keys: readonly VerificationKey[] | null, remote = true) =>
    sets.update([{ id, keys, remote }], [])
  const set = (id: string) => {
    const state = sets.state(id)
    assert.ok(state.kind === 'there')
    return state.set
  }
  return { sets, wanted, give, set, pass: (ms: number) => (now += ms) }
}

test('a set is awaited until control tells of it, and its last good keys outlive a failure', () => {
  const { sets, give, set } = world()
  assert.equal(sets.state('a').kind, 'awaited')
  give('a', null)
  assert.equal(sets.state('a').kind, 'failed')
  give('a', [one])
  give('a', null)
  assert.equal(set('a').keys[0]?.kid, 'one')
  sets.update([], ['a'])
  assert.equal(sets.state('a').kind, 'awaited')
})

test('the same keys again are the same set, so that what they verified stays known; others are another', () => {
  const { give, set } = world()
  give('a', [one])
  const before = set('a')
  give('a', [{ ...one }])
  assert.equal(set('a'), before)
  give('a', [{ ...key('one') }])
  assert.notEqual(set('a'), before)
})

test('newer keys are asked for once in 5 s, and while they are awaited everybody may wait', async () => {
  const { sets, give, set, wanted, pass } = world()
  give('a', [one])
  give('written', [one], false)
  assert.equal(sets.mayRenew(set('written')), false)
  assert.equal(sets.mayRenew(set('a')), true)
  const renewed = sets.renewed('a', 60_000)
  assert.equal(sets.mayRenew(set('a')), true, 'they are on their way')
  give('a', [one])
  await renewed
  assert.equal(sets.mayRenew(set('a')), false)
  pass(5_000)
  assert.equal(sets.mayRenew(set('a')), true)
  assert.deepEqual(wanted, ['a', 'a'])
})

test('waits end with the time or the set, and there is a bound on them', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  const { sets } = world()
  const { counters } = sets
  const waiting = Array.from({ length: 1024 }, () => sets.renewed('a', 100))
  assert.equal(counters.keysWaiting, 1024)
  await sets.renewed('a', 100)
  assert.equal(counters.keysWaitingOver, 1)
  mock.timers.tick(100)
  await Promise.all(waiting)
  assert.equal(counters.keysWaiting, 0)
  assert.equal(counters.keysTimedOut, 1024)
  mock.timers.reset()
})

test('a token is known for five minutes, and no more of them than fit are', () => {
  let now = 0
  const cache = new TokenCache(() => now)
  const verdict = [{ set: {}, valid: true }]
  cache.set('first', verdict)
  now = 299_999
  assert.equal(cache.get('first'), verdict)
  now = 300_000
  assert.equal(cache.get('first'), undefined, 'however often it was seen')
  for (let i = 0; i < 40_000; i++) cache.set(String(i), verdict)
  assert.ok(cache.counters.tokensKnown <= 16_384, String(cache.counters.tokensKnown))
  assert.ok(cache.counters.tokensForgotten > 0)
  assert.equal(cache.get('0'), undefined)
  assert.equal(cache.get('39999'), verdict)
})
