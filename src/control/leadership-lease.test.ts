import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { EtcdServer } from '../../scripts/etcd.ts'
import { LeaseLeadership } from './leadership-lease.ts'
import { EtcdClient } from './store/etcd-client.ts'
import { bytesOf, EtcdLayout, put } from './store/etcd-layout.ts'
import { type EtcdStore, openEtcdStore } from './store/etcd-store.ts'

let server: EtcdServer
let count = 0
before(async () => {
  server = await EtcdServer.start()
})
const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0)) await close()
})
after(() => server.close())

interface Candidate {
  name: string
  client: EtcdClient
  leadership: LeaseLeadership
  store: EtcdStore
  said: string[]
  close(): Promise<void>
}

/** Candidates for one mesh, and whoever gained or lost it, in order. */
function election() {
  const prefix = `election/${count++}`
  const events: string[] = []
  let wake = () => {}
  const tell = (event: string) => {
    events.push(event)
    wake()
  }
  const until = async (event: string) => {
    while (!events.includes(event))
      await new Promise<void>((resolve) => {
        wake = resolve
      })
  }
  const enter = async (name: string, gained = async () => {}, mostSilentMs?: number): Promise<Candidate> => {
    const etcd = { endpoints: [server.endpoint] }
    const client = new EtcdClient(etcd)
    const said: string[] = []
    const leadership = new LeaseLeadership({
      client,
      etcd,
      prefix,
      ttl: 2,
      ...(mostSilentMs !== undefined && { mostSilentMs }),
      notice: (text) => said.push(text),
    })
    const store = await openEtcdStore({
      client,
      prefix,
      permission: () => leadership.permission(),
      fenced: () => leadership.fenced(),
      outdated: (why) => leadership.retire(why),
    })
    await leadership.begin(`https://${name}:1`, {
      gained: async () => {
        await gained()
        tell(`${name} leads`)
      },
      lost: () => tell(`${name} leads no more`),
    })
    const close = async () => {
      await leadership.close()
      await store.close()
      client.close()
    }
    open.push(close)
    return { name, client, leadership, store, said, close }
  }
  return { prefix, events, until, enter }
}

const commit = ({ store }: Candidate, key: string) => store.commit([{ kind: 'put', key, value: key }])

test('one of several leads, the others know where it is and commit nothing; when it closes another leads at once', async () => {
  const { events, until, enter } = election()
  const one = await enter('one')
  assert.deepEqual(events, ['one leads'])
  const two = await enter('two')
  assert.equal(one.leadership.leads, true)
  assert.equal(two.leadership.leads, false)
  assert.equal(two.leadership.leader, 'https://one:1')
  assert.ok((await commit(one, 'a')).ok)
  const refused = await commit(two, 'b')
  assert.ok(!refused.ok && refused.kind === 'unavailable')
  assert.match(refused.reason, /stands by: ask the one that leads, https:\/\/one:1/)
  assert.equal((await two.store.get('a'))?.value, 'a')
  const begun = performance.now()
  await one.close()
  await until('two leads')
  assert.ok(performance.now() - begun < 2_000)
  assert.ok((await commit(two, 'b')).ok)
  await two.close()
})

test('whoever cannot begin to lead lets another', async () => {
  const { until, enter } = election()
  const one = await enter('one', () => Promise.reject(new Error('no room')))
  assert.match(one.said.join(), /cannot lead: no room/)
  const two = await enter('two')
  await until('two leads')
  await two.close()
  await one.close()
})

test('one whose key is gone leads no more from its next commit on, and nothing of that is written', async () => {
  const { prefix, until, enter } = election()
  const one = await enter('one')
  const key = bytesOf(new EtcdLayout(prefix).leader)
  const request = { request: { case: 'requestDeleteRange' as const, value: { key } } }
  await one.client.call(({ kv }) => kv.txn({ success: [request] }))
  const two = await enter('two')
  await until('two leads')
  const late = await commit(one, 'late')
  assert.ok(!late.ok)
  await until('one leads no more')
  assert.equal(one.leadership.leads, false)
  assert.equal(await two.store.get('late'), null)
  await one.close()
  await two.close()
})

test('one whose schema was brought up by a newer Mayfly lets that one lead, and says why', async () => {
  const { prefix, until, enter } = election()
  const one = await enter('one')
  const { schema } = new EtcdLayout(prefix)
  await one.client.call(({ kv }) =>
    kv.txn({ success: [put(schema, JSON.stringify({ program: 'mayfly', version: 1 }))] }),
  )
  const two = await enter('two')
  assert.equal(two.leadership.leads, false)
  const late = await commit(one, 'late')
  assert.ok(!late.ok && late.kind === 'unavailable' && /newer Mayfly/.test(late.reason))
  await until('one leads no more')
  await until('two leads')
  assert.match(one.leadership.problem ?? '', /newer Mayfly.*start this one anew/)
  assert.ok((await commit(two, 'a')).ok)
  await two.close()
  assert.equal(one.leadership.leads, false)
  await one.close()
})

test('one whose thread is busy for longer than its lease leads on, but not one that does nothing else for long', async () => {
  const busy = (ms: number) => {
    const until = performance.now() + ms
    while (performance.now() < until);
  }
  const { events, enter } = election()
  const one = await enter('one')
  assert.ok((await commit(one, 'before')).ok)
  busy(4_000)
  assert.equal(one.leadership.leads, true)
  assert.ok((await commit(one, 'after')).ok)
  assert.deepEqual(events, ['one leads'])
  const other = election()
  const two = await other.enter('two', undefined, 500)
  busy(4_000)
  assert.equal(two.leadership.leads, false)
  await other.until('two leads no more')
  assert.match(two.said.join(), /did nothing else|could not be renewed/)
})

test('while etcd is silent nobody leads for longer than the lease, and somebody does soon after it is back', async () => {
  const { events, until, enter } = election()
  const one = await enter('one')
  server.freeze()
  await until('one leads no more')
  assert.equal(one.leadership.leads, false)
  while (one.leadership.problem === null) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.match(one.leadership.problem, /does not answer/)
  const refused = await commit(one, 'a')
  assert.ok(!refused.ok && refused.kind === 'unavailable')
  server.thaw()
  events.length = 0
  await until('one leads')
  assert.ok((await commit(one, 'b')).ok)
  await server.stop()
  await server.start()
  for (;;) if ((await commit(one, 'c')).ok) break
  await one.close()
})
