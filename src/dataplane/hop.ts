// What an engine tells the next one beside the head itself, in one field that no sidecar lets in from elsewhere: the
// instance, and the connection on which the request came to the mesh.
//
//   x-mayfly-instance: INSTANCE;SOURCE-IP;SOURCE-PORT;LOCAL-IP;LOCAL-PORT;TLS;CALLER
//   addresses as 32 hexadecimal digits, ports in decimal, TLS 0 or 1, the calling function as "namespace.name" or ""

import type { ConnectionFacts } from './sidecar-decision.ts'

/** What the receiving engine judges by instead of its own connection's addresses. */
export type HopFacts = Pick<ConnectionFacts, 'sourceIp' | 'sourcePort' | 'localIp' | 'localPort' | 'tls'>

export interface Hop {
  instance: string
  facts: HopFacts
  /** The calling function, "namespace/name"; null: somebody from outside. */
  caller: string | null
}

/** The head with the field for the next engine; it ends in an empty line, as a sidecar has written it. */
export function withHop(head: Buffer, { instance, facts, caller }: Hop): Buffer {
  const { sourceIp, sourcePort, localIp, localPort, tls } = facts
  const value = [
    instance,
    hex(sourceIp),
    sourcePort,
    hex(localIp),
    localPort,
    tls ? 1 : 0,
    caller?.replace('/', '.') ?? '',
  ].join(';')
  const line = `x-mayfly-instance: ${value}\r\n\r\n`
  const end = head.length - 2
  const whole = Buffer.allocUnsafe(end + line.length)
  head.copy(whole, 0, 0, end)
  whole.write(line, end, 'latin1')
  return whole
}

/** Reads the field's value; null where it is not one that an engine writes. */
export function readHop(value: string): Hop | null {
  const found = VALUE.exec(value)
  if (!found) return null
  const [, instance, sourceIp, sourcePort, localIp, localPort, tls, caller] = found
  const facts = {
    sourceIp: Buffer.from(sourceIp!, 'hex'),
    sourcePort: Number(sourcePort),
    localIp: Buffer.from(localIp!, 'hex'),
    localPort: Number(localPort),
    tls: tls === '1',
  }
  if (facts.sourcePort > 65_535 || facts.localPort > 65_535) return null
  return { instance: instance!, facts, caller: caller === '' ? null : caller!.replace('.', '/') }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

const VALUE =
  /^([a-z0-9.-]{1,150});([0-9a-f]{32});(\d{1,5});([0-9a-f]{32});(\d{1,5});([01]);((?:[a-z0-9-]{1,63}\.[a-z0-9.-]{1,63})?)$/
