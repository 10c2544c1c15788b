import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { openSqliteStore } from '../store/sqlite-store.ts'
import type { Change, Commit, Store, Watcher } from '../store/store.ts'
import { readAudit } from './audit-log.ts'
import type { Outcome } from './request-queue.ts'
import { ResourceStore } from './resource-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-follow-'))
const ASKER = { who: 'anna', from: '127.0.0.1' }
let base: Store
/** The store as it is for one of two control planes: what it says may be bent. */
let watchers: Watcher[]
let count = 0
beforeEach(async () => {
  await base?.close()
  base = await openSqliteStore(join(folder, `${count++}.sqlite`))
  watchers = []
})
after(async () => {
  await base.close()
  rmSync(folder, { recursive: true, force: true })
})

function seen(
  commit: (changes: readonly Change[]) => Promise<Commit> = (changes) => base.commit(changes),
): Store {
  return {
    get: (key) => base.get(key),
    list: (prefix) => base.list(prefix),
    commit,
    watch: (prefix, watcher) => {
      watchers.push(watcher)
      return base.watch(prefix, watcher)
    },
    backup: (file) => base.backup(file),
    close: async () => {},
  }
}

const service = (name: string, image = 'file:./f.ts') =>
  JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { template: { spec: { containers: [{ image }] } } },
  })
const apply = (resources: ResourceStore, ...manifests: string[]): Promise<Outcome> =>
  resources.request(
    { kind: 'apply', files: manifests.map((text, i) => ({ path: `${i}.json`, text })) },
    ASKER,
  )
const versions = ({ kept }: ResourceStore) =>
  Object.fromEntries(Array.from(kept, ([key, { modified, generation }]) => [key, [modified, generation]]))

/** Resolves when the follower tells of a change that makes the two the same. */
async function same(follower: ResourceStore, leader: ResourceStore): Promise<void> {
  const agree = () => JSON.stringify(sorted(versions(follower))) === JSON.stringify(sorted(versions(leader)))
  while (!agree())
    await new Promise<void>((resolve) => {
      const stop = follower.watch(() => {
        stop()
        resolve()
      })
    })
}
const sorted = (one: object) => Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1))

test('what one writes is in force at another, and the other goes on from there when it leads', async () => {
  const leader = await ResourceStore.open(seen(), { changed: () => {} })
  await apply(leader, service('a'))
  const functions: string[][] = []
  const follower = await ResourceStore.open(seen(), {
    changed: (mesh) => functions.push([...mesh.functions.keys()].toSorted()),
  })
  await follower.follow()
  await apply(leader, service('b'), service('c'))
  await apply(leader, service('a', 'file:./other.ts'))
  await leader.request(
    { kind: 'delete', of: 'Service', namespace: 'shop', name: 'b', resourceVersion: '' },
    ASKER,
  )
  await same(follower, leader)
  assert.deepEqual(functions.at(-1), ['shop/a', 'shop/c'])
  assert.equal(follower.mesh.functions.get('shop/a')?.spec.image.kind, 'file')
  await follower.lead()
  const outcome = await apply(follower, service('a', 'file:./third.ts'))
  assert.ok(outcome.ok)
  assert.equal(outcome.changes[0]!.after!.generation, 3)
  assert.equal((await readAudit(base, 100)).length, 5)
  // The one that led before does not know of it; when it follows it does.
  await leader.follow()
  await same(leader, follower)
})

test('what was missed is found by listing again', async () => {
  const leader = await ResourceStore.open(seen(), { changed: () => {} })
  const watch = (_: string, watcher: Watcher) => {
    watchers.push(watcher)
    return () => {}
  }
  const follower = await ResourceStore.open({ ...seen(), watch }, { changed: () => {} })
  await follower.follow()
  await apply(leader, service('a'), service('b'))
  await leader.request(
    { kind: 'delete', of: 'Service', namespace: 'shop', name: 'b', resourceVersion: '' },
    ASKER,
  )
  assert.equal(follower.kept.size, 0)
  watchers.at(-1)!.lost()
  await same(follower, leader)
})

test('after a commit of which nobody knows whether it was done, it is read what is there', async () => {
  let silent = false
  const resources = await ResourceStore.open(
    seen(async (changes) => {
      const commit = await base.commit(changes)
      return silent ? { ok: false, kind: 'unavailable', reason: 'no answer' } : commit
    }),
    { changed: () => {} },
  )
  silent = true
  const outcome = await apply(resources, service('a'))
  assert.ok(!outcome.ok && outcome.refused.kind === 'unavailable')
  silent = false
  const again = await apply(resources, service('a'), service('b'))
  assert.ok(again.ok, JSON.stringify(again))
  assert.deepEqual(
    again.changes.map(({ action }) => action),
    ['unchanged', 'created'],
  )
})
