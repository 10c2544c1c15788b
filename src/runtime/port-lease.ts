import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

/** A port for a program that must be told where to listen. It is this process's until `release`. */
export type PortLease = { port: number; release(): void }

/**
 * Finds a port on which nothing listens at the address, outside the range from which the kernel takes ports for outgoing connections
 * and for "port 0". Another process may still take it before the program does; then the program fails and is started
 * with another one.
 */
export async function leasePort(host = '127.0.0.1'): Promise<PortLease | null> {
  const { first, last } = range()
  const size = last - first + 1
  const start = randomInt(size)
  for (let i = 0; i < MOST_TRIES; i++) {
    const port = first + ((start + i) % size)
    if (leased.has(port)) continue
    leased.add(port)
    if (await isFree(host, port)) return { port, release: () => void leased.delete(port) }
    leased.delete(port)
  }
  return null
}

const leased = new Set<number>()
const MOST_TRIES = 256
const FIRST = 10_000
/** Where neither system's usual ephemeral range (Linux from 32768, macOS from 49152) begins yet. */
const LAST = 32_767

function range(): { first: number; last: number } {
  try {
    const text = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1')
    const [low, high] = text.split(/\s+/).map(Number)
    if (low! > FIRST + 1_000) return { first: FIRST, last: Math.min(LAST, low! - 1) }
    if (high! < 64_000) return { first: high! + 1, last: 65_535 }
  } catch {
    // Not Linux.
  }
  return { first: FIRST, last: LAST }
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
