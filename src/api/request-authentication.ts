import { z } from 'zod'
import { readDuration } from './duration.ts'
import {
  across,
  type CheckContext,
  isMapping,
  list,
  mapping,
  reading,
  report,
  text,
  unsupported,
} from './fields.ts'
import { checkKeySetText, checkKeySetUri } from './key-set.ts'
import { checkFieldName, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'
import { selector } from './selector.ts'

/** Which tokens the selected functions take: Istio's RequestAuthentication. */
export type RequestAuthentication = Manifest<
  'security.istio.io/v1' | 'security.istio.io/v1beta1',
  'RequestAuthentication',
  RequestAuthenticationSpec
>
export type RequestAuthenticationSpec = z.output<typeof requestAuthenticationSpec>
export type JwtRule = z.output<typeof jwtRule>

const names = list(text(checkFilled), 64).default([])

const outputClaim = mapping({ header: text(checkOutputHeader), claim: text(checkFilled) })

const jwtRule = across(
  mapping({
    /** "": any issuer whose keys are at `jwksUri`. */
    issuer: text().default(''),
    audiences: names,
    jwksUri: text(checkKeySetUri).optional(),
    jwks: text(checkKeySetText).optional(),
    fromHeaders: list(
      mapping({ name: text(checkTokenHeader), prefix: text(checkPrefix).default('') }),
      64,
    ).default([]),
    fromParams: names,
    fromCookies: list(text(checkCookieName), 64).default([]),
    outputPayloadToHeader: text(checkOutputHeader).optional(),
    outputClaimToHeaders: list(outputClaim, 64).default([]),
    forwardOriginalToken: z.boolean().default(false),
    /** Longest wait for keys that are not there yet, in milliseconds. */
    timeout: reading(readTimeout).default(5_000),
    spaceDelimitedClaims: names,
  }),
  checkRule,
)

const gateways = unsupported('gateways and waypoints are not resources here: use selector')

const requestAuthenticationSpec = mapping({
  selector: selector.optional(),
  targetRef: gateways,
  targetRefs: gateways,
  jwtRules: list(jwtRule, 64).default([]),
})

export const requestAuthenticationManifest = manifest(
  ['security.istio.io/v1', 'security.istio.io/v1beta1'],
  'RequestAuthentication',
  metadata(),
  requestAuthenticationSpec,
)

function checkRule(rule: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const { issuer, jwks, jwksUri } = rule
  if (jwks !== undefined && jwksUri !== undefined)
    report(context, 'conflict', 'cannot stand beside jwksUri: keep one of them', ['jwks'])
  if (jwks === undefined && jwksUri === undefined) {
    report(context, 'missing-field', 'expected jwks or jwksUri: keys are not discovered from the issuer', [
      'jwksUri',
    ])
  }
  // As Istio has it: whose keys these are must be said in one of the two ways.
  if ((issuer === undefined || issuer === '') && jwksUri === undefined)
    report(context, 'missing-field', 'is needed where there is no jwksUri: write the "iss" of the tokens', [
      'issuer',
    ])
  checkOutputsOnce(rule, context)
}

/** Of two outputs to one header only one could stand; and what is written must not be where tokens are read. */
function checkOutputsOnce(rule: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const taken = new Map<string, string>()
  for (const name of tokenHeaders(rule)) taken.set(folded(name), 'is where this rule reads tokens')
  const take = (name: unknown, path: PropertyKey[]) => {
    if (typeof name !== 'string') return
    const before = taken.get(folded(name))
    if (before) report(context, 'conflict', `${quote(name)} ${before}: choose another header`, path)
    taken.set(folded(name), 'is written by another output of this rule')
  }
  take(rule.outputPayloadToHeader, ['outputPayloadToHeader'])
  const outputs: unknown[] = Array.isArray(rule.outputClaimToHeaders) ? rule.outputClaimToHeaders : []
  outputs.forEach((output, index) => {
    if (isMapping(output)) take(output.header, ['outputClaimToHeaders', index, 'header'])
  })
}

function tokenHeaders(rule: Readonly<Record<string, unknown>>): string[] {
  const lists = ['fromHeaders', 'fromParams', 'fromCookies'].map((field) => rule[field])
  if (lists.every((one) => !Array.isArray(one) || one.length === 0)) return ['authorization']
  const headers: unknown[] = Array.isArray(rule.fromHeaders) ? rule.fromHeaders : []
  return headers.flatMap((header) =>
    isMapping(header) && typeof header.name === 'string' ? [header.name] : [],
  )
}

/** Names as servers see them that take "_" for "-". */
function folded(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

/** Istio's duration is protobuf's: whole or fractional seconds. */
function readTimeout(value: string) {
  const result = readDuration(value)
  if (!result.ok) return result
  return result.value >= 1 && result.value <= MOST_TIMEOUT_MS
    ? result
    : { ok: false as const, problem: `${quote(value)}: expected a time from 1ms to 1m` }
}

const MOST_TIMEOUT_MS = 60_000

function checkFilled(value: string): string | null {
  return value === '' ? 'is empty' : null
}

/** What a client can send in front of a token. */
function checkPrefix(value: string): string | null {
  return /^[\x20-\x7e]*$/.test(value) && !value.startsWith(' ')
    ? null
    : `${quote(value)} is nothing that a header's value can begin with`
}

function checkCookieName(value: string): string | null {
  return checkFieldName(value) && `${quote(value)} is not the name of a cookie`
}

function checkTokenHeader(value: string): string | null {
  return (
    checkFieldName(value) ??
    checkOwnField(value, 'does not reach policies as it was sent: choose another header')
  )
}

function checkOutputHeader(value: string): string | null {
  return checkFieldName(value) ?? checkOwnField(value, 'is written by the mesh itself: choose another header')
}

function checkOwnField(value: string, why: string): string | null {
  const name = folded(value)
  return OWN_FIELDS.has(name) || OWN_PREFIX.test(name) ? `${quote(value)} ${why}` : null
}

const OWN_PREFIX = /^x-(envoy|mayfly|b3)-/

/** Framing, routing, hop-by-hop, forwarding and trace fields. */
const OWN_FIELDS = new Set(
  (
    'host content-length transfer-encoding connection keep-alive proxy-connection te trailer upgrade expect ' +
    'http2-settings proxy-authenticate proxy-authorization proxy-authentication-info forwarded x-forwarded-for ' +
    'x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-client-cert x-request-id traceparent ' +
    'tracestate b3 cookie'
  ).split(' '),
)
