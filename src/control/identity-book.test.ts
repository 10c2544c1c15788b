import assert from 'node:assert/strict'
import { mock, type TestContext, test } from 'node:test'
import type { ToEngine } from '../dataplane/engine-messages.ts'
import { CertificateAuthority } from './certificate-authority.ts'
import { IdentityBook } from './identity-book.ts'

const CART = 'cluster.local/ns/shop/sa/cart'

async function world(t: TestContext) {
  const authority = await CertificateAuthority.open({ now: () => Date.now() })
  const sent: { engine: string; message: Extract<ToEngine, { type: 'identities' }> }[] = []
  const steps: string[] = []
  const held = new Set([`one ${CART}`, `two ${CART}`])
  const book: IdentityBook = new IdentityBook({
    authority,
    trustDomains: ['cluster.local'],
    mayHold: (engine, principal) => held.has(`${engine} ${principal}`),
    send: (engine, message) => {
      assert.equal(message.type, 'identities')
      if (message.type === 'identities') sent.push({ engine, message })
      steps.push(`identity ${engine}`)
    },
    trustChanged: () => {
      steps.push(`trust ${book.trust('a').anchors.map(({ epoch }) => epoch)}`)
    },
    settled: async () => {
      steps.push('settled')
    },
    notice: (text) => assert.fail(text),
  })
  t.after(() => book.close())
  return { authority, book, sent, steps, held }
}

test('engines that may speak for a workload share its certificate, others are told that there is none', async (t) => {
  const { book, sent } = await world(t)
  await Promise.all([book.wanted('one', CART), book.wanted('two', CART), book.wanted('three', CART)])
  const of = (engine: string) => sent.find((one) => one.engine === engine)!.message
  assert.deepEqual(of('three'), { type: 'identities', upsert: [], remove: [CART] })
  assert.equal(of('one').upsert[0]!.principal, CART)
  assert.equal(of('one').upsert[0]!.chain, of('two').upsert[0]!.chain)
  assert.deepEqual(
    (await book.list()).map(({ engines }) => engines),
    [['one', 'two']],
  )
})

test('a workload that is gone is held by nobody', async (t) => {
  const { book, sent, held } = await world(t)
  await book.wanted('one', CART)
  held.clear()
  book.prune()
  assert.deepEqual(sent.at(-1)!.message.remove, [CART])
  assert.deepEqual(await book.list(), [])
})

test('an epoch begins in steps, each of which all engines have taken before the next', async (t) => {
  const { book, sent, steps } = await world(t)
  await book.wanted('one', CART)
  const keys = book.trust('a').ticketKeys
  steps.length = 0
  const [first, second] = await Promise.all([book.beginEpoch(), book.beginEpoch()])
  assert.deepEqual([first, second], [2, 3])
  assert.deepEqual(steps.slice(0, 7), [
    // The one in which certificates are issued comes last.
    'trust 2,1',
    'settled',
    'identity one',
    'trust 1,2',
    'settled',
    'trust 2',
    'settled',
  ])
  assert.equal(sent.at(-1)!.message.upsert[0]!.epoch, 3)
  assert.notDeepEqual(book.trust('a').ticketKeys, keys)
  assert.notDeepEqual(book.trust('a').ticketKeys, book.trust('b').ticketKeys)
})

test('at half its life a certificate is made anew for those who hold it', async (t) => {
  const { book, sent } = await world(t)
  await book.wanted('one', CART)
  await book.wanted('two', CART)
  book.engineDied('two')
  const { notAfter } = (await book.list())[0]!
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 43_200_001 })
  t.after(() => mock.timers.reset())
  const before = sent.length
  await book.renew()
  assert.deepEqual(
    sent.slice(before).map(({ engine }) => engine),
    ['one'],
  )
  assert.ok(sent.at(-1)!.message.upsert[0]!.notAfter > notAfter)
})
