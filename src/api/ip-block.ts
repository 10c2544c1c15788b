import { isIP, isIPv4 } from 'node:net'
import { quote } from './kubernetes-name.ts'

/** Judges an IP address or a CIDR range; answers with what is wrong, or null. */
export function checkIpBlock(value: string): string | null {
  const slash = value.indexOf('/')
  const address = slash < 0 ? value : value.slice(0, slash)
  if (isIP(address) === 0 || address.includes('%')) {
    return `${quote(value)} is not an IP address or range: write for example 10.0.0.1, 10.0.0.0/8, 2001:db8::/32`
  }
  if (slash < 0) return null
  const bits = value.slice(slash + 1)
  const most = isIPv4(address) ? 32 : 128
  if (/^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= most) return null
  return `${quote(value)}: the number after "/" must be from 0 to ${most}`
}
