import { z } from 'zod'
import { readDuration } from './duration.ts'
import {
  across,
  type CheckContext,
  integer,
  mapping,
  reading,
  report,
  text,
  unsupported,
  word,
} from './fields.ts'
import { checkFieldName, quote } from './kubernetes-name.ts'

/** How an instance is chosen: Istio's LoadBalancerSettings. */
export type LoadBalancer = z.output<typeof loadBalancer>
export type ConsistentHash = z.output<typeof consistentHash>

const LOCALITY = 'instances have no locality here: remove the field'
const WARMUP = 'new instances are not warmed up gradually: remove the field'

/** An engine lays the whole ring or table out in memory, so both are bounded. */
const MOST_POINTS = 262_144

const cookie = mapping({
  name: text(checkFieldName),
  path: text(checkCookiePath).optional(),
  /** Seconds; 0: until the browser ends. Left out: the mesh sets no cookie. */
  ttl: reading((value) => {
    const read = readDuration(value)
    return read.ok ? { ok: true, value: Math.floor(read.value / 1_000) } : read
  }).optional(),
  attributes: unsupported('further attributes of the cookie are not available: remove the field'),
})

const HASH_KEYS = ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName']

const consistentHash = across(
  mapping({
    httpHeaderName: text(checkFieldName).optional(),
    httpCookie: cookie.optional(),
    useSourceIp: z.boolean().optional(),
    httpQueryParameterName: text(checkFilled).optional(),
    ringHash: mapping({ minimumRingSize: integer(0, MOST_POINTS).default(0) }).optional(),
    maglev: mapping({ tableSize: integer(0, MOST_POINTS).superRefine(checkPrime).default(0) }).optional(),
    minimumRingSize: integer(0, MOST_POINTS).optional(),
  }),
  checkHash,
)

export const loadBalancer = across(
  mapping({
    simple: word(['UNSPECIFIED', 'LEAST_CONN', 'LEAST_REQUEST', 'ROUND_ROBIN', 'RANDOM'], {
      PASSTHROUGH:
        'calls name functions, not addresses, so there is nothing to pass through: choose another policy',
    }).optional(),
    consistentHash: consistentHash.optional(),
    localityLbSetting: unsupported(LOCALITY),
    warmupDurationSecs: unsupported(WARMUP),
    warmup: unsupported(WARMUP),
  }),
  (value, context) => {
    if (value.simple !== undefined && value.consistentHash !== undefined)
      report(context, 'conflict', 'has simple and consistentHash: keep one of them')
  },
)

function checkHash(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const given = HASH_KEYS.filter((key) => value[key] !== undefined)
  if (given.length === 0) report(context, 'missing-field', `expected ${HASH_KEYS.join(' or ')}`)
  if (given.length > 1) report(context, 'conflict', `has ${given.join(' and ')}: keep one of them`)
  if (value.useSourceIp === false)
    report(context, 'bad-value', 'write true, or choose another hash key', ['useSourceIp'])
  const algorithms = ['ringHash', 'maglev', 'minimumRingSize'].filter((key) => value[key] !== undefined)
  if (algorithms.length > 1) report(context, 'conflict', `has ${algorithms.join(' and ')}: keep one of them`)
}

/** The skips through a maglev table reach every place only where its size is prime. */
function checkPrime(size: number, context: CheckContext): void {
  if (size === 0) return
  for (let divisor = 2; divisor * divisor <= size; divisor++) {
    if (size % divisor === 0)
      return report(context, 'bad-value', `${size} is not a prime number: write for example 65537`)
  }
  if (size < 2) report(context, 'bad-value', `${size} is not a prime number: write for example 65537`)
}

function checkFilled(value: string): string | null {
  return value === '' ? 'is empty: write the name of a parameter' : null
}

function checkCookiePath(value: string): string | null {
  return /^[\x20-\x3a\x3c-\x7e]*$/.test(value)
    ? null
    : `${quote(value)} is not a cookie's path: write visible ASCII without ";"`
}
