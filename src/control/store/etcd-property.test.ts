import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Code, ConnectError } from '@connectrpc/connect'
import fc from 'fast-check'
import { EtcdServer } from '../../../scripts/etcd.ts'
import { EtcdClient } from './etcd-client.ts'
import { type EtcdStore, openEtcdStore } from './etcd-store.ts'
import type { Change, Commit, Entry } from './store.ts'

let server: EtcdServer
let count = 0
before(async () => {
  server = await EtcdServer.start()
})
after(() => server.close())

/** A store as it should be, in memory. */
class Model {
  readonly entries = new Map<string, Entry>()
  /** Revisions of commits of which there is something to tell. */
  readonly told: number[] = []

  /** What a commit at a revision comes to. */
  commit(changes: readonly Change[], revision: number): 'ok' | { key: string; modified: number } {
    for (const { key, ifModified } of changes) {
      const modified = this.entries.get(key)?.modified ?? 0
      if (ifModified !== undefined && ifModified !== modified) return { key, modified }
    }
    if (changes.some(({ kind, key }) => kind === 'put' || (kind === 'delete' && this.entries.has(key))))
      this.told.push(revision)
    for (const change of changes) {
      const { key } = change
      if (change.kind === 'delete') this.entries.delete(key)
      if (change.kind === 'put') {
        const created = this.entries.get(key)?.created ?? revision
        this.entries.set(key, { key, value: change.value, created, modified: revision })
      }
    }
    return 'ok'
  }

  list(prefix: string): Entry[] {
    const own = [...this.entries.values()].filter(({ key }) => key.startsWith(prefix))
    return own.toSorted((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
  }
}

/** What happens to a call on its way: nothing, it never arrives, its answer is lost, or it arrives when nobody waits for it any more. */
type Mishap = 'none' | 'request' | 'answer' | 'late'

/** A client to whose first transactions such things happen, in turn. */
function unlucky(mishaps: readonly Mishap[]): EtcdClient {
  const client = new EtcdClient({ endpoints: [server.endpoint] })
  const { kv } = client.member
  const txn = kv.txn.bind(kv)
  let calls = 0
  const broken = () => new ConnectError('the connection broke', Code.Unavailable)
  let late: (() => Promise<unknown>)[] = []
  kv.txn = async (...call) => {
    const mishap = mishaps[calls++] ?? 'none'
    const before = late
    late = []
    if (mishap === 'late') late.push(() => txn(call[0]))
    const answer = mishap === 'request' || mishap === 'late' ? null : await txn(...call)
    // One that was held up arrives behind the next one.
    for (const arrive of before) await arrive()
    if (answer === null || mishap === 'answer') throw broken()
    return answer
  }
  return client
}

/** Keys of few folders, so that they meet; a large commit has more changes than a transaction takes. */
const KEY = fc.constantFrom('a/1', 'a/2', 'a/ü', 'a', 'b/1', 'b/2', 'c')
/** On condition of how the key is (`now`), of something that it is not (`never`), or of nothing. */
const STEP = fc.record({
  changes: fc.uniqueArray(
    fc.record({
      key: KEY,
      kind: fc.constantFrom('put', 'put', 'delete', 'check'),
      value: fc.string({ maxLength: 5, unit: 'grapheme' }),
      condition: fc.constantFrom('any', 'any', 'now', 'now', 'now', 'never'),
    }),
    { selector: ({ key }) => key, minLength: 1, maxLength: 4 },
  ),
  isLarge: fc.boolean(),
})

function changesOf(step: typeof STEP extends fc.Arbitrary<infer T> ? T : never, model: Model): Change[] {
  const changes = step.changes.map(({ key, kind, value, condition }): Change => {
    const now = model.entries.get(key)?.modified ?? 0
    const ifModified = condition === 'never' ? now + 1 : now
    if (kind === 'check') return { kind, key, ifModified }
    const held = condition === 'any' ? {} : { ifModified }
    return kind === 'delete' ? { kind, key, ...held } : { kind: 'put', key, value, ...held }
  })
  if (!step.isLarge) return changes
  const filler = Array.from({ length: 105 }, (_, i): Change => ({ kind: 'put', key: `z/${i}`, value: 'z' }))
  return [...changes, ...filler]
}

async function same(store: EtcdStore, model: Model): Promise<void> {
  for (const prefix of ['', 'a', 'a/', 'b/', 'z/'])
    assert.deepEqual((await store.list(prefix)).entries, model.list(prefix))
  for (const key of ['a', 'a/ü', 'z/7'])
    assert.deepEqual(await store.get(key), model.entries.get(key) ?? null)
}

test('whatever is committed, and whatever is lost on the way, it is done once and whole, and told in order', async () => {
  const MISHAP = fc.constantFrom<Mishap>('none', 'none', 'none', 'none', 'request', 'answer', 'late', 'late')
  await fc.assert(
    fc.asyncProperty(
      fc.array(STEP, { minLength: 1, maxLength: 8 }),
      fc.array(MISHAP, { maxLength: 60 }),
      async (steps, mishaps) => {
        const prefix = `property/${count++}`
        const client = unlucky(mishaps)
        const reader = new EtcdClient({ endpoints: [server.endpoint] })
        try {
          const watching = await openEtcdStore({ client: reader, prefix })
          const store = await openUnlucky(client, prefix)
          const model = new Model()
          const mirror = new Map<string, Entry>()
          const told: number[] = []
          let last = 0
          let wake = () => {}
          watching.watch('', {
            changed: (events, revision) => {
              assert.ok(revision > last)
              last = revision
              told.push(revision)
              for (const { key, entry } of events) {
                if (entry) mirror.set(key, entry)
                else mirror.delete(key)
              }
              wake()
            },
            lost: () => assert.fail('nothing was missed'),
          })
          for (const step of steps) {
            const changes = changesOf(step, model)
            const commit: Commit = await store.commit(changes)
            if (commit.ok) assert.equal(model.commit(changes, commit.revision), 'ok')
            else {
              assert.equal(commit.kind, 'conflict', JSON.stringify(commit))
              const { key, modified } = commit as Extract<Commit, { kind: 'conflict' }>
              assert.deepEqual(model.commit(changes, 0), { key, modified })
            }
            await same(watching, model)
          }
          const end = await store.commit([{ kind: 'put', key: 'end', value: '' }])
          assert.ok(end.ok)
          model.commit([{ kind: 'put', key: 'end', value: '' }], end.revision)
          while (last < end.revision)
            await new Promise<void>((resolve) => {
              wake = resolve
            })
          assert.deepEqual(told, model.told)
          const byKey = (entries: Iterable<Entry>) =>
            [...entries].toSorted((a, b) => (a.key < b.key ? -1 : 1))
          assert.deepEqual(byKey(mirror.values()), byKey(model.entries.values()))
        } finally {
          client.close()
          reader.close()
        }
      },
    ),
    { numRuns: 25, timeout: 60_000 },
  )
})

/** Opening is not what is tried here: it is begun again where it was unlucky. */
async function openUnlucky(client: EtcdClient, prefix: string): Promise<EtcdStore> {
  for (;;) {
    const store = await openEtcdStore({ client, prefix }).catch(() => null)
    if (store) return store
  }
}
