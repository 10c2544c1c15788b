import { createHash } from 'node:crypto'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { JwtRule } from '../api/request-authentication.ts'
import { type AuthenticationInput, jwtRulesFor } from './authentication.ts'

/** Where the keys of a rule come from. */
export type KeySetSource =
  | { readonly kind: 'inline'; readonly id: string; readonly jwks: string }
  | { readonly kind: 'remote'; readonly id: string; readonly uri: string }

/** The keys by which a rule's tokens are verified. */
export interface TokenKeys {
  readonly source: KeySetSource
  /** Longest wait for keys that are not there yet, in milliseconds. */
  readonly timeoutMs: number
}

/** The keys of each rule that applies to a function; the place in the list is the rule's number in its needs. */
export function tokenKeysOf(input: AuthenticationInput, fn: FunctionSpec): TokenKeys[] {
  return jwtRulesFor(input, fn).map(({ rule }) => ({ source: sourceOf(rule), timeoutMs: rule.timeout }))
}

function sourceOf({ jwks, jwksUri }: JwtRule): KeySetSource {
  if (jwksUri !== undefined) return { kind: 'remote', id: jwksUri, uri: jwksUri }
  const text = jwks ?? ''
  return { kind: 'inline', id: `inline:${createHash('sha256').update(text).digest('hex')}`, jwks: text }
}
