// What tests of the store in etcd have in common.

import type { EtcdStore } from './etcd-store.ts'
import type { Change, Event, Watcher } from './store.ts'

/** Changes that put `n` keys: "k/00000" and so on. */
export function puts(n: number, value: string): Change[] {
  return Array.from({ length: n }, (_, i) => ({
    kind: 'put',
    key: `k/${String(i).padStart(5, '0')}`,
    value,
  }))
}

/** What a watcher hears, and a way to wait for it. */
export function listening(store: EtcdStore, prefix: string) {
  const heard: { revision: number; events: readonly Event[] }[] = []
  let lost = 0
  let wake = () => {}
  const watcher: Watcher = {
    changed: (events, revision) => {
      heard.push({ revision, events })
      wake()
    },
    lost: () => {
      lost++
      wake()
    },
  }
  const stop = store.watch(prefix, watcher)
  const until = async (holds: () => boolean) => {
    while (!holds())
      await new Promise<void>((resolve) => {
        wake = resolve
      })
  }
  return { heard, stop, until, lost: () => lost }
}
