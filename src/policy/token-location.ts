import type { JwtRule } from '../api/request-authentication.ts'
import {
  LOCATION_IN_COOKIE,
  LOCATION_IN_HEADER,
  LOCATION_IN_PARAM,
} from '../sidecar/layout/authentication.ts'
import type { ByteWriter } from './byte-writer.ts'
import { fieldNameHash } from './condition.ts'

/** Where tokens are read, and by which rules. */
export interface TokenLocation {
  readonly kind: 'header' | 'param' | 'cookie'
  readonly name: string
  /** What stands in front of a token in a header. */
  readonly prefix: string
  /** Numbers of the rules, as bits. */
  rules: bigint
}

/** Every place in which one of the rules reads tokens, each once; of those in one header the longest prefix first. */
export function tokenLocations(rules: readonly JwtRule[]): TokenLocation[] {
  const locations = new Map<string, TokenLocation>()
  for (const [index, rule] of rules.entries()) {
    for (const { kind, name, prefix } of locationsOf(rule)) {
      const key = JSON.stringify([kind, name, prefix])
      const location = locations.get(key) ?? { kind, name, prefix, rules: 0n }
      location.rules |= 1n << BigInt(index)
      locations.set(key, location)
    }
  }
  return [...locations.values()].toSorted((a, b) => b.prefix.length - a.prefix.length)
}

/** The record of sidecar/layout/authentication.ts. */
export function encodeLocation(out: ByteWriter, { kind, name, prefix, rules }: TokenLocation): void {
  const nameBytes = Buffer.from(name, 'utf8')
  const prefixBytes = Buffer.from(prefix, 'utf8')
  out.block(() => {
    out.u32(Number(rules & 0xffff_ffffn)).u32(Number(rules >> 32n))
    out.u32(KINDS[kind]).u32(kind === 'header' ? fieldNameHash(name) : 0)
    out.u16(nameBytes.length).u16(prefixBytes.length).bytes(nameBytes).bytes(prefixBytes)
  })
}

const KINDS = { header: LOCATION_IN_HEADER, param: LOCATION_IN_PARAM, cookie: LOCATION_IN_COOKIE } as const

/** Those that the rule names; where it names none, Istio's: `Authorization: Bearer` and the parameter `access_token`. */
function locationsOf({ fromHeaders, fromParams, fromCookies }: JwtRule): Omit<TokenLocation, 'rules'>[] {
  const named = [
    ...fromHeaders.map(({ name, prefix }) => ({ kind: 'header' as const, name: name.toLowerCase(), prefix })),
    ...fromParams.map((name) => ({ kind: 'param' as const, name, prefix: '' })),
    ...fromCookies.map((name) => ({ kind: 'cookie' as const, name, prefix: '' })),
  ]
  return named.length > 0 ? named : DEFAULT_LOCATIONS
}

const DEFAULT_LOCATIONS: Omit<TokenLocation, 'rules'>[] = [
  { kind: 'header', name: 'authorization', prefix: 'Bearer ' },
  { kind: 'param', name: 'access_token', prefix: '' },
]
