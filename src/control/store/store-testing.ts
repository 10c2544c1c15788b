// What any store must do, whatever it is made of. Each kind's own test calls this with a way to open an empty one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event, Store } from './store.ts'

export function storeContract(open: () => Promise<Store>): void {
  const withStore = (what: string, check: (store: Store) => Promise<void>) =>
    test(what, async () => {
      const store = await open()
      try {
        await check(store)
      } finally {
        await store.close()
      }
    })

  withStore('a key is read as it was written, with its revisions', async (store) => {
    assert.equal(await store.get('a'), null)
    const first = await store.commit([{ kind: 'put', key: 'a', value: 'one' }])
    assert.ok(first.ok)
    const second = await store.commit([{ kind: 'put', key: 'a', value: 'zwölf \u{1f41d}' }])
    assert.ok(second.ok)
    assert.ok(second.revision > first.revision)
    assert.deepEqual(await store.get('a'), {
      key: 'a',
      value: 'zwölf \u{1f41d}',
      created: first.revision,
      modified: second.revision,
    })
  })

  withStore('a list has the prefix alone, in order', async (store) => {
    const changes = ['b/2', 'b/1', 'c', 'b', 'b0', 'a/1', 'b/ü'].map((key) => ({
      kind: 'put' as const,
      key,
      value: key,
    }))
    const commit = await store.commit(changes)
    assert.ok(commit.ok)
    const { entries, revision } = await store.list('b/')
    assert.deepEqual(
      entries.map(({ key }) => key),
      ['b/1', 'b/2', 'b/ü'],
    )
    assert.equal(revision, commit.revision)
    assert.equal((await store.list('')).entries.length, 7)
  })

  withStore('a condition that does not hold leaves everything as it was', async (store) => {
    const first = await store.commit([{ kind: 'put', key: 'a', value: '1', ifModified: 0 }])
    assert.ok(first.ok)
    assert.deepEqual(
      await store.commit([
        { kind: 'put', key: 'b', value: '1' },
        { kind: 'put', key: 'a', value: '2', ifModified: 0 },
      ]),
      { ok: false, kind: 'conflict', key: 'a', modified: first.revision },
    )
    assert.equal(await store.get('b'), null)
    const check = await store.commit([
      { kind: 'check', key: 'gone', ifModified: 5 },
      { kind: 'put', key: 'b', value: '1' },
    ])
    assert.deepEqual(check, { ok: false, kind: 'conflict', key: 'gone', modified: 0 })
    const second = await store.commit([
      { kind: 'check', key: 'gone', ifModified: 0 },
      { kind: 'put', key: 'a', value: '2', ifModified: first.revision },
    ])
    assert.ok(second.ok)
    const deleted = await store.commit([{ kind: 'delete', key: 'a', ifModified: second.revision }])
    assert.ok(deleted.ok)
    assert.equal(await store.get('a'), null)
    const again = await store.commit([{ kind: 'put', key: 'a', value: '3', ifModified: 0 }])
    assert.ok(again.ok)
    assert.equal((await store.get('a'))?.created, again.revision)
  })

  withStore('of many that write the same key by its revision, one wins', async (store) => {
    const first = await store.commit([{ kind: 'put', key: 'n', value: '0' }])
    assert.ok(first.ok)
    const tries = Array.from({ length: 50 }, (_, i) =>
      store.commit([{ kind: 'put', key: 'n', value: String(i), ifModified: first.revision }]),
    )
    const won = (await Promise.all(tries)).filter(({ ok }) => ok)
    assert.equal(won.length, 1)
  })

  withStore('a commit that names a key twice, or nothing, or too much, is refused', async (store) => {
    const refused = async (changes: Parameters<Store['commit']>[0]) => {
      const commit = await store.commit(changes)
      assert.equal(commit.ok === false && commit.kind, 'unavailable')
    }
    await refused([])
    await refused([
      { kind: 'put', key: 'a', value: '1' },
      { kind: 'delete', key: 'a' },
    ])
    await refused([{ kind: 'put', key: 'k'.repeat(2000), value: '' }])
    assert.equal((await store.list('')).entries.length, 0)
  })

  withStore('a watcher hears of each commit that touches its keys, once and in order', async (store) => {
    const heard: { revision: number; events: readonly Event[] }[] = []
    let told = () => {}
    const last = new Promise<void>((resolve) => {
      told = resolve
    })
    const stop = store.watch('w/', {
      changed: (events, revision) => {
        heard.push({ revision, events })
        if (events.some(({ key }) => key === 'w/end')) told()
      },
      lost: () => assert.fail('nothing was missed'),
    })
    await store.list('w/') // a watch may take a moment to be in force; a list behind it does not overtake it
    const revisions: number[] = []
    for (const change of [
      { kind: 'put', key: 'w/a', value: '1' },
      { kind: 'put', key: 'other', value: '1' },
      { kind: 'delete', key: 'w/a' },
      { kind: 'delete', key: 'w/a' },
      { kind: 'put', key: 'w/end', value: '' },
    ] as const) {
      const commit = await store.commit([change])
      assert.ok(commit.ok)
      revisions.push(commit.revision)
    }
    await last
    stop()
    assert.deepEqual(
      heard.map(({ revision, events }) => [
        revision,
        events.map(({ key, entry }) => [key, entry?.value ?? null]),
      ]),
      [
        [revisions[0], [['w/a', '1']]],
        [revisions[2], [['w/a', null]]],
        [revisions[4], [['w/end', '']]],
      ],
    )
  })
}
