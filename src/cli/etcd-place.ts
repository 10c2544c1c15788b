import { readFileSync } from 'node:fs'
import type { EtcdOptions } from '../control/store/etcd-client.ts'

/** The options of a command that says where resources are kept. */
export interface StoreOptions {
  store?: string
  storeCa?: string
  storeCert?: string
  storeKey?: string
  storeUser?: string
  storePasswordFile?: string
}

/** Where resources are kept: in the control plane's own file, or in etcd under a prefix. */
export type StorePlace = { kind: 'file' } | { kind: 'etcd'; etcd: EtcdOptions; prefix: string }

type Read<T> = { ok: true; value: T } | { ok: false; message: string }

const DEFAULT_PREFIX = 'mayfly'
const FORM = /^etcd:\/\/([^/?#]+)(?:\/([A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*)\/?)?$/

/** Reads `--store etcd://HOST:PORT[,HOST:PORT][/PREFIX]` and what belongs to it; without it resources are kept in a file. */
export function readStorePlace(options: StoreOptions): Read<StorePlace> {
  const { store } = options
  const extra = extraOptions(options)
  if (store === undefined) {
    if (extra.length === 0) return { ok: true, value: { kind: 'file' } }
    return problem(`${extra[0]} is for etcd: name it with --store etcd://HOST:PORT`)
  }
  const form = FORM.exec(store)
  if (!form) return problem(`--store ${store}: expected etcd://HOST:PORT[,HOST:PORT][/PREFIX]`)
  const [, members, prefix = DEFAULT_PREFIX] = form
  const endpoints = members!.split(',')
  for (const endpoint of endpoints) {
    if (endpoint.includes('@'))
      return problem('--store: no user or password in it: use --store-user and --store-password-file')
    if (!isEndpoint(endpoint)) return problem(`--store ${store}: ${endpoint}: expected HOST:PORT`)
  }
  const tls = readTls(options)
  if (!tls.ok) return tls
  const user = readUser(options)
  if (!user.ok) return user
  const etcd = { endpoints, ...(tls.value && { tls: tls.value }), ...(user.value && { user: user.value }) }
  return { ok: true, value: { kind: 'etcd', etcd, prefix } }
}

function extraOptions({
  storeCa,
  storeCert,
  storeKey,
  storeUser,
  storePasswordFile,
}: StoreOptions): string[] {
  const all = {
    '--store-ca': storeCa,
    '--store-cert': storeCert,
    '--store-key': storeKey,
    '--store-user': storeUser,
    '--store-password-file': storePasswordFile,
  }
  return Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [name]))
}

function isEndpoint(text: string): boolean {
  const url = `http://${text}/`
  return /:\d{1,5}$/.test(text) && URL.canParse(url) && new URL(url).hostname !== ''
}

/** TLS is used where any of its files is named. */
function readTls({ storeCa, storeCert, storeKey }: StoreOptions): Read<EtcdOptions['tls'] | null> {
  if ((storeCert === undefined) !== (storeKey === undefined))
    return problem('--store-cert and --store-key belong together: name both')
  if (storeCa === undefined && storeCert === undefined) return { ok: true, value: null }
  const tls: { ca?: string; cert?: string; key?: string } = {}
  for (const [name, option, file] of [
    ['ca', '--store-ca', storeCa],
    ['cert', '--store-cert', storeCert],
    ['key', '--store-key', storeKey],
  ] as const) {
    if (file === undefined) continue
    const text = readText(option, file)
    if (!text.ok) return text
    if (!text.value.includes('-----BEGIN ')) return problem(`${option} ${file}: expected PEM`)
    tls[name] = text.value
  }
  return { ok: true, value: tls }
}

function readUser({ storeUser, storePasswordFile }: StoreOptions): Read<EtcdOptions['user'] | null> {
  if ((storeUser === undefined) !== (storePasswordFile === undefined))
    return problem('--store-user and --store-password-file belong together: name both')
  if (storeUser === undefined) return { ok: true, value: null }
  const password = readText('--store-password-file', storePasswordFile!)
  if (!password.ok) return password
  return { ok: true, value: { name: storeUser, password: password.value.replace(/\r?\n$/, '') } }
}

function readText(option: string, file: string): Read<string> {
  try {
    return { ok: true, value: readFileSync(file, 'utf8') }
  } catch (error) {
    return problem(`${option}: ${(error as Error).message}`)
  }
}

function problem(message: string): { ok: false; message: string } {
  return { ok: false, message }
}
