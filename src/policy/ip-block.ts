import { isIP } from 'node:net'
import { FAMILY_IPV4, FAMILY_IPV6 } from '../sidecar/layout/authorization.ts'
import type { ByteWriter } from './byte-writer.ts'

/** A block of addresses; IPv4 in its place below ::ffff:0:0/96. */
export interface IpBlock {
  readonly family: typeof FAMILY_IPV4 | typeof FAMILY_IPV6
  /** 16 bytes, bits past the prefix are zero. */
  readonly network: Uint8Array
  /** Leading bits of the 16 bytes that count. */
  readonly prefix: number
}

export type IpBlockReading =
  | { readonly ok: true; readonly block: IpBlock }
  | { readonly ok: false; readonly problem: string }

/** Reads "203.0.113.4", "203.0.113.0/24", "2001:db8::/32". Bits of the address past the prefix do not count. */
export function parseIpBlock(text: string): IpBlockReading {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  const version = isIP(address)
  if (version === 0 || address.includes('%')) return bad(text, 'is not an IP address or CIDR block')
  const width = version === 4 ? 32 : 128
  const bits = slash < 0 ? String(width) : text.slice(slash + 1)
  if (!/^(0|[1-9][0-9]{0,2})$/.test(bits) || Number(bits) > width) {
    return bad(text, `needs a prefix length from 0 to ${width}`)
  }
  const bytes = version === 4 ? mapped(address) : ipv6Bytes(address)
  const prefix = Number(bits) + (128 - width)
  const isMapped = MAPPED.every((byte, index) => bytes[index] === byte) && prefix >= 96
  const network = bytes.map((byte, index) => byte & maskByte(prefix, index))
  return { ok: true, block: { family: isMapped ? FAMILY_IPV4 : FAMILY_IPV6, network, prefix } }
}

/** The IP block of sidecar/layout/authorization.ts. */
export function writeIpBlock(out: ByteWriter, block: IpBlock): void {
  out.bytes(Uint8Array.from({ length: 16 }, (_, index) => maskByte(block.prefix, index)))
  out.bytes(block.network).u32(block.family).u32(0)
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

function bad(text: string, problem: string): IpBlockReading {
  return { ok: false, problem: `${JSON.stringify(text)} ${problem}` }
}

function maskByte(prefix: number, index: number): number {
  const bits = Math.max(0, Math.min(8, prefix - index * 8))
  return (0xff00 >> bits) & 0xff
}

function mapped(address: string): Uint8Array {
  return Uint8Array.from([...MAPPED, ...address.split('.').map(Number)])
}

function ipv6Bytes(address: string): Uint8Array {
  // An IPv4 tail "::ffff:1.2.3.4" becomes two groups first.
  const text = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: string, low: string) => (Number(high) * 256 + Number(low)).toString(16)
    return `${group(a, b)}:${group(c, d)}`
  })
  const [head = '', tail] = text.split('::')
  const groups = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}
