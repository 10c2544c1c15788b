// The thread that renews a leader's lease (lease-renewal.ts).

import { setTimeout as pause } from 'node:timers/promises'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import {
  ALIVE_AT,
  type FromRenewer,
  type RenewerData,
  type ToRenewer,
  VALID_UNTIL,
  validUntil,
} from './lease-renewal.ts'
import { EtcdClient } from './store/etcd-client.ts'
import { StoreError } from './store/store.ts'

/** A lease is renewed each time that this part of its life is over; again so soon where that failed, in milliseconds. */
const RENEW_PART = 3
const RETRY_MS = 200
const MOST_CALL_MS = 1_000
function run(port: MessagePort, data: RenewerData): void {
  const client = new EtcdClient(data.etcd)
  let renewing = new AbortController()
  const say = (message: FromRenewer) => port.postMessage(message)
  port.on('message', (message: ToRenewer) => {
    renewing.abort()
    if (message.kind === 'stop') return
    renewing = new AbortController()
    const { signal } = renewing
    const { lease } = message
    void renew(client, lease, data, signal, say).then((why) => {
      if (!signal.aborted) say({ kind: 'ended', lease, why })
    })
  })
}

/** Resolves with why the lease is renewed no more. */
async function renew(
  client: EtcdClient,
  lease: bigint,
  { ttl, times, mostSilentMs }: RenewerData,
  signal: AbortSignal,
  say: (message: FromRenewer) => void,
): Promise<string> {
  const since = (index: number) => Number(process.hrtime.bigint() - Atomics.load(times, index)) / 1e6
  const rhythm = (ttl * 1_000) / RENEW_PART
  let wait = rhythm
  let failing = false
  for (;;) {
    const leftMs = -since(VALID_UNTIL)
    await pause(Math.max(0, Math.min(wait, leftMs)), undefined, { signal }).catch(() => {})
    if (signal.aborted) return ''
    if (since(VALID_UNTIL) >= 0) return 'its time to lead is over: it could not be renewed'
    if (since(ALIVE_AT) > mostSilentMs)
      return `its time to lead is over: it did nothing else for ${mostSilentMs / 1_000} s`
    const begun = process.hrtime.bigint()
    try {
      const given = await client.call(
        ({ lease: leases }, options) => keptAlive(leases.leaseKeepAlive(once({ ID: lease }), options)),
        Math.max(1, Math.floor(Math.min(MOST_CALL_MS, -since(VALID_UNTIL)))),
      )
      if (given <= 0n) return 'its time to lead is over: its lease has ended'
      Atomics.store(times, VALID_UNTIL, validUntil(begun, given))
      if (failing) say({ kind: 'problem', text: null })
      failing = false
      wait = rhythm
    } catch (error) {
      if (!failing) say({ kind: 'problem', text: (error as Error).message })
      failing = true
      wait = RETRY_MS
    }
  }
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value
}

/** The seconds that the lease has, 0 where there is none. */
async function keptAlive(answers: AsyncIterable<{ TTL: bigint }>): Promise<bigint> {
  for await (const { TTL: ttl } of answers) return ttl
  throw new StoreError('unavailable', 'etcd has ended the stream')
}

run(parentPort!, workerData as RenewerData)
