import { z } from 'zod'
import { authorizationRule } from './authorization-policy.ts'
import {
  across,
  type CheckContext,
  filledList,
  integer,
  isMapping,
  mapping,
  report,
  text,
  unsupported,
  word,
} from './fields.ts'
import { checkDnsLabel, checkFieldName, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { checkPath } from './match-text.ts'
import { metadata } from './metadata.ts'
import { selector } from './selector.ts'

/** How often the selected functions may be called: each function has counters of its own. */
export type RateLimitPolicy = Manifest<'mayfly.dev/v1', 'RateLimitPolicy', RateLimitPolicySpec>
export type RateLimitPolicySpec = z.output<typeof rateLimitPolicySpec>
export type RateLimit = RateLimitPolicySpec['limits'][number]
export type RateLimitKey = NonNullable<RateLimit['key']>[number]

/** Milliseconds in each unit. */
export const UNIT_MS = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const

/** A window is at most so many days long. */
const MOST_WINDOW_MS = 31 * UNIT_MS.day
export const MOST_LIMITS = 16
const MOST_KEY_PARTS = 8
const MOST_REQUESTS = 1_000_000_000
/** A bucket that holds less than the requests of so many milliseconds would stand empty between two leases. */
const BURST_MS = 50

const keyPart = across(
  mapping({
    caller: mapping({}).optional(),
    claim: text(checkClaim).optional(),
    header: text(checkFieldName).optional(),
    pathTemplates: filledList(text(checkPath), 64).optional(),
    method: mapping({}).optional(),
    clientAddress: mapping({
      ipv4Prefix: integer(1, 32).default(32),
      ipv6Prefix: integer(1, 128).default(64),
    }).optional(),
  }),
  (value, context) => {
    const given = Object.keys(value)
    if (given.length === 1) return
    const message = `expected exactly one of caller, claim, header, pathTemplates, method, clientAddress, got ${given.length || 'none'}`
    report(context, 'bad-value', message)
  },
)

const limit = across(
  mapping({
    name: text(checkDnsLabel),
    requests: integer(1, MOST_REQUESTS),
    unit: word(['second', 'minute', 'hour', 'day']),
    per: integer(1, 100_000).default(1),
    burst: integer(1, MOST_REQUESTS).optional(),
    window: word(['fixed', 'sliding']).default('fixed'),
    scope: word(['cluster', 'node']).default('cluster'),
    key: filledList(keyPart, MOST_KEY_PARTS).optional(),
    match: filledList(authorizationRule, 64).optional(),
    dryRun: z.boolean().default(false),
    onUnavailable: word(['deny', 'allow']).default('deny'),
    maxKeys: integer(1, 1_000_000).default(10_000),
  }),
  checkLimit,
)

const gateways = unsupported('gateways and waypoints are not resources here: use selector')

const rateLimitPolicySpec = across(
  mapping({
    selector: selector.optional(),
    targetRef: gateways,
    targetRefs: gateways,
    limits: filledList(limit, MOST_LIMITS),
  }),
  (spec, context) => {
    const seen = new Set<unknown>()
    const limits: unknown[] = Array.isArray(spec.limits) ? spec.limits : []
    limits.forEach((one, index) => {
      const name = isMapping(one) ? one.name : undefined
      if (seen.has(name))
        report(context, 'conflict', `another limit has the name ${quote(String(name))}`, [
          'limits',
          index,
          'name',
        ])
      if (typeof name === 'string') seen.add(name)
    })
  },
)

export const rateLimitPolicyManifest = manifest(
  ['mayfly.dev/v1'],
  'RateLimitPolicy',
  metadata(),
  rateLimitPolicySpec,
)

function checkLimit(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const { requests, unit, per = 1, burst } = value
  const unitMs = UNIT_MS[unit as keyof typeof UNIT_MS]
  if (typeof per !== 'number' || unitMs === undefined) return
  const windowMs = per * unitMs
  if (windowMs > MOST_WINDOW_MS)
    report(context, 'out-of-range', `${per} ${unit}s are more than 31 days`, ['per'])
  if (typeof requests !== 'number' || typeof burst !== 'number') return
  if (burst > requests) {
    const message = `${burst} is more than requests (${requests}), which no window lets through: leave burst out, or lower it`
    report(context, 'out-of-range', message, ['burst'])
  }
  const least = Math.min(requests, Math.ceil((requests * BURST_MS) / windowMs))
  if (burst < least) {
    const message = `${burst} is less than what the limit lets through in ${BURST_MS} ms, and would slow it down: write at least ${least}`
    report(context, 'out-of-range', message, ['burst'])
  }
}

/** `sub`, or `[realm_access][roles]` for a claim inside another. */
function checkClaim(value: string): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are refused
  if (/^([^[\]\x00-\x1f\x7f]+|(\[[^[\]\x00-\x1f\x7f]+\])+)$/.test(value)) return null
  return `${quote(value)} is not a claim: write NAME, nested claims as [A][B]`
}
