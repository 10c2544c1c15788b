import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { readKeySet } from '../api/key-set.ts'
import {
  ALGORITHMS,
  SIGNATURE_ALGORITHM,
  SIGNATURE_HEADER,
  SIGNATURE_KID_LENGTH,
  SIGNATURE_NO_KEY,
  SIGNATURE_NO_KEYS,
  SIGNATURE_RULES,
  SIGNATURE_WRONG,
} from '../sidecar/layout/authentication.ts'
import { NEED_SIGNATURE } from '../sidecar/layout/record.ts'
import type { FunctionEntry } from './function-table.ts'
import { KeySets } from './key-sets.ts'
import { TokenSignatures } from './token-signatures.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const SIGNED = 'header.payload'
const token = `${SIGNED}.${sign('sha256', Buffer.from(SIGNED), rsa.privateKey).toString('base64url')}`

interface Asked {
  readonly algorithm?: string
  readonly kid?: string
  readonly token?: string
  readonly rules?: readonly number[]
}

function question({ algorithm = 'RS256', kid = '', token: text = token, rules = [0] }: Asked): Buffer {
  const head = Buffer.alloc(SIGNATURE_HEADER)
  head.writeUInt16LE(rules.length, SIGNATURE_RULES)
  head.writeUInt16LE(ALGORITHMS.indexOf(algorithm), SIGNATURE_ALGORITHM)
  head.writeUInt32LE(Buffer.byteLength(kid), SIGNATURE_KID_LENGTH)
  return Buffer.concat([
    head,
    Buffer.from(kid),
    Buffer.from(text),
    Buffer.from(new Uint16Array(rules).buffer),
  ])
}

function world(...sets: string[]) {
  const keySets = new KeySets({ wanted: () => {}, now: () => 0 })
  const signatures = new TokenSignatures(keySets, () => 0)
  const tokenRules = sets.map((keySet) => ({ keySet, timeoutMs: 20 }))
  const entry = { slice: { tokenRules } } as unknown as FunctionEntry
  const give = (id: string, key: KeyObject, more: object = {}) => {
    const reading = readKeySet(JSON.stringify({ keys: [{ ...key.export({ format: 'jwk' }), ...more }] }))
    assert.ok(reading.ok)
    keySets.update([{ id, keys: reading.value.keys, remote: true }], [])
  }
  const answer = async (asked: Asked) =>
    (await signatures.answer({ kind: NEED_SIGNATURE, key: question(asked) }, entry, null)).readUInt32LE()
  return { keySets, signatures, entry, give, answer }
}

test('the first rule whose keys verify the token is named by its place in the question', async () => {
  const { give, answer, signatures } = world('ec', 'other', 'rsa')
  give('ec', ec.publicKey)
  give('other', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
  give('rsa', rsa.publicKey)
  assert.equal(await answer({ rules: [2] }), 0)
  assert.equal(await answer({ rules: [0, 1, 2] }), 2)
  assert.equal(await answer({ rules: [1] }), SIGNATURE_WRONG)
  assert.equal(await answer({ rules: [0] }), SIGNATURE_NO_KEY)
  assert.equal(signatures.counters.tokensVerified, 2, 'what is known of a token is not found out again')
})

test('a token is known by all that is said of it', async () => {
  const { give, answer, signatures } = world('a')
  give('a', rsa.publicKey, { kid: 'one' })
  assert.equal(await answer({ kid: 'one' }), 0)
  assert.equal(await answer({ kid: 'one' }), 0)
  assert.equal(signatures.counters.tokensRecalled, 1)
  assert.equal(await answer({ kid: 'one', algorithm: 'RS512' }), SIGNATURE_WRONG)
  assert.equal(await answer({ kid: 'two' }), SIGNATURE_NO_KEY)
  assert.equal(await answer({ kid: 'on', token: `e${token}` }), SIGNATURE_NO_KEY)
})

test('what a key has verified is forgotten with the key', async () => {
  const { give, answer, keySets } = world('a')
  give('a', rsa.publicKey)
  assert.equal(await answer({}), 0)
  give('a', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
  assert.equal(await answer({}), SIGNATURE_WRONG)
  keySets.update([], ['a'])
  assert.equal(await answer({}), SIGNATURE_NO_KEYS)
})

test('wrong tokens take no room from others', async () => {
  const { give, answer, signatures } = world('a')
  give('a', rsa.publicKey)
  for (let i = 0; i < 50; i++)
    assert.equal(await answer({ token: `${SIGNED}.${'A'.repeat(334)}${1000 + i}AAAA` }), SIGNATURE_WRONG)
  assert.equal(signatures.cache.counters.tokensKnown, 0)
})

test('without keys a request waits for them, and no longer than its rule says', async () => {
  const { give, answer, signatures } = world('a')
  const waiting = answer({})
  give('a', rsa.publicKey)
  assert.equal(await waiting, 0)
  const other = world('a')
  assert.equal(await other.answer({}), SIGNATURE_NO_KEYS)
  other.keySets.update([{ id: 'a', keys: null, remote: true }], [])
  assert.equal(await other.answer({}), SIGNATURE_NO_KEYS)
  assert.equal(other.keySets.counters.keysTimedOut, 1, 'once it is known that there are none nobody waits')
  assert.equal(signatures.counters.tokensWithoutKeys, 0)
})

test('whatever a sandbox asks is answered or refused, and never as a valid token', async () => {
  const { give, signatures, entry } = world('a')
  give('a', rsa.publicKey)
  const good = question({})
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 })).map(([at, byte]) => {
      const changed = Buffer.from(good)
      changed[at] = byte
      return changed
    }),
    fc.nat({ max: good.length - 1 }).map((length) => good.subarray(0, length)),
  )
  await fc.assert(
    fc.asyncProperty(anything, async (key) => {
      if (Buffer.compare(key, good) === 0) return
      try {
        const answer = await signatures.answer({ kind: NEED_SIGNATURE, key: Buffer.from(key) }, entry, null)
        assert.notEqual(answer.readUInt32LE(), 0, Buffer.from(key).toString('hex'))
      } catch (error) {
        assert.match(String(error), /a signature is asked for|out of range|outside/)
      }
    }),
    { numRuns: 3_000 },
  )
})
