import { isIPv4, isIPv6 } from 'node:net'

/** An IP address as 16 bytes, IPv4 as ::ffff:a.b.c.d; all zero where `text` is no address. */
export function ipBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16)
  const zone = text.indexOf('%')
  const address = zone < 0 ? text : text.slice(0, zone)
  if (isIPv4(address)) return writeV4(bytes, address)
  if (!isIPv6(address)) return bytes
  const dotted = address.lastIndexOf(':') + 1
  if (address.includes('.')) writeV4(bytes, address.slice(dotted), false)
  const groupsEnd = address.includes('.') ? 12 : 16
  const words = address.includes('.') ? address.slice(0, dotted) : address
  const [before = '', after] = words.replace(/([^:]):$/, '$1').split('::')
  writeGroups(bytes, 0, before)
  if (after !== undefined) {
    const count = after === '' ? 0 : after.split(':').length
    writeGroups(bytes, groupsEnd - 2 * count, after)
  }
  return bytes
}

function writeV4(bytes: Uint8Array, text: string, mapped = true): Uint8Array {
  text.split('.').forEach((part, i) => {
    bytes[12 + i] = Number(part)
  })
  if (mapped) bytes.fill(0xff, 10, 12)
  return bytes
}

function writeGroups(bytes: Uint8Array, at: number, text: string): void {
  if (text === '') return
  text.split(':').forEach((group, i) => {
    const value = Number.parseInt(group, 16)
    bytes[at + 2 * i] = value >> 8
    bytes[at + 2 * i + 1] = value & 0xff
  })
}
