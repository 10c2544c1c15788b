import { isIP, isIPv4 } from 'node:net'
import type { Reading } from './fields.ts'
import { quote } from './kubernetes-name.ts'

/** A server that somebody else runs. `host` is an IP address without brackets, or `localhost`. */
export type Address = { host: string; port: number }

/** What a function consists of, as its container's `image` names it. */
export type Image =
  | { kind: 'file'; path: string }
  | { kind: 'host' }
  | { kind: 'endpoint'; addresses: Address[] }

/** Reads an `image`; the path of a file stays as it was written. */
export function readImage(value: string): Reading<Image> {
  if (value === 'host') return { ok: true, value: { kind: 'host' } }
  if (value.startsWith('file:')) return readFile(value.slice('file:'.length))
  if (value.startsWith('endpoint:')) return readEndpoints(value.slice('endpoint:'.length))
  return { ok: false, problem: `${quote(value)} cannot be run. ${FORMS}` }
}

/** Reads `HOST:PORT`, HOST being an IPv4 address, an IPv6 address in brackets, or `localhost`. */
export function readAddress(value: string): Reading<Address> {
  const problem = `${quote(value)} is not an address: write IPV4:PORT, [IPV6]:PORT or localhost:PORT`
  const match = ADDRESS.exec(value)
  if (!match) return { ok: false, problem }
  const [, v6, name, digits] = match
  const port = Number(digits)
  const host = v6 ?? name!
  const known = v6 === undefined ? isIPv4(host) || host === 'localhost' : isIP(host) === 6
  if (!known) return { ok: false, problem }
  if (port < 1 || port > 65_535)
    return { ok: false, problem: `${quote(value)}: the port must be from 1 to 65535` }
  return { ok: true, value: { host, port } }
}

function readFile(path: string): Reading<Image> {
  if (path.startsWith('//')) return { ok: false, problem: `"file:" takes a path, not a URL. ${FORMS}` }
  if (!MODULE.test(path)) {
    return {
      ok: false,
      problem: `"file:" takes a module ending in .ts, .mts, .js, .mjs or .cjs, got ${quote(path)}. ${FORMS}`,
    }
  }
  return { ok: true, value: { kind: 'file', path } }
}

function readEndpoints(list: string): Reading<Image> {
  const addresses: Address[] = []
  const seen = new Set<string>()
  for (const item of list.split(',')) {
    const address = readAddress(item.trim())
    if (!address.ok)
      return { ok: false, problem: `"endpoint:" takes addresses separated by commas; ${address.problem}` }
    const key = `${address.value.host} ${address.value.port}`
    if (seen.has(key))
      return { ok: false, problem: `${quote(item.trim())} is listed twice: each address is one instance` }
    seen.add(key)
    addresses.push(address.value)
  }
  if (addresses.length > MAX_ADDRESSES) {
    return { ok: false, problem: `lists ${addresses.length} addresses, at most ${MAX_ADDRESSES} are allowed` }
  }
  return { ok: true, value: { kind: 'endpoint', addresses } }
}

const FORMS =
  'Use "file:./fn.ts" (a module with a fetch function), "host" together with a command, or "endpoint:127.0.0.1:9001" (a server that already runs)'
const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+|localhost)):([0-9]{1,5})$/
const MODULE = /^[^\0\r\n]+\.(ts|mts|js|mjs|cjs)$/
const MAX_ADDRESSES = 1_024
