import { ConnectError } from '@connectrpc/connect'
import type { EtcdClient } from './etcd-client.ts'
import { bytesOf, type EtcdLayout } from './etcd-layout.ts'
import { StoreError } from './store.ts'

export interface HistoryOptions {
  client: EtcdClient
  layout: EtcdLayout
  /** Of several, one does it. */
  leads(): boolean
  everyMs?: number
  notice(text: string): void
}

/** As long as Kubernetes keeps it. A watcher that was away for longer lists again. */
const KEPT_MS = 300_000

/** Has etcd forget what was before the last while, which it would keep for good; gives what ends that. */
export function forgetHistory({
  client,
  layout,
  leads,
  everyMs = KEPT_MS,
  notice,
}: HistoryOptions): () => void {
  let before = 0n
  let told = false
  const forget = async () => {
    const { header } = await client.call(({ kv }, options) =>
      kv.range({ key: bytesOf(layout.head) }, options),
    )
    const revision = before
    before = header!.revision
    if (revision > 0n && leads()) await client.call(({ kv }, options) => kv.compact({ revision }, options))
  }
  const timer = setInterval(() => {
    forget().catch((error) => {
      const said = error instanceof StoreError ? error.message : ConnectError.from(error).rawMessage
      // Another program that shares the etcd has compacted it further.
      if (told || /compacted/.test(said)) return
      told = true
      notice(`the history in etcd grows: it could not be compacted: ${said}`)
    })
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
