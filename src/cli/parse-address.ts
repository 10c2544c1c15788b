import { fail } from './output.ts'

/** Reads an option's "ADDRESS:PORT"; an empty address is every one of the machine. A wrong one ends the command with status 2. */
export function parseAddress(option: string, text: string): { host: string; port: number } {
  const parts = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text)
  const port = Number(parts?.[3])
  if (!parts || port > 65_535) fail(`${option} ${text}: expected ADDRESS:PORT, for example 127.0.0.1:8080`, 2)
  return { host: parts[1] ?? (parts[2] || '0.0.0.0'), port }
}

/** "ADDRESS:PORT" again; an IPv6 address in brackets. */
export function formatAddress(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
