import type { z } from 'zod'
import { across, type CheckContext, filledList, mapping, report, text } from './fields.ts'
import { checkIpBlock } from './ip-block.ts'
import { quote } from './kubernetes-name.ts'
import { checkMatchText } from './match-text.ts'
import { suggestion } from './nearest-name.ts'

/** One condition of a rule's `when`. */
export type Condition = z.output<typeof condition>

export const condition = across(
  mapping({
    key: text(checkKey),
    values: filledList(text()).optional(),
    notValues: filledList(text()).optional(),
  }),
  checkValues,
)

/** A port as a policy writes it. */
export function checkPort(value: string): string | null {
  const fits = /^[1-9]\d{0,4}$/.test(value) && Number(value) <= 65_535
  return fits ? null : `${quote(value)} is not a port: write a number from 1 to 65535 in quotes`
}

function checkValues(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const key = typeof value.key === 'string' ? value.key : ''
  if (value.values === undefined && value.notValues === undefined) {
    report(context, 'missing-field', 'expected values or notValues', ['values'])
  }
  const check = IP_KEYS.has(key) ? checkIpBlock : key === 'destination.port' ? checkPort : checkMatchText
  for (const field of ['values', 'notValues']) {
    const texts: unknown = value[field]
    if (!Array.isArray(texts)) continue
    texts.forEach((item: unknown, index) => {
      const wrong = typeof item === 'string' ? check(item) : null
      if (wrong) report(context, 'bad-value', wrong, [field, index])
    })
  }
}

function checkKey(key: string): string | null {
  if (PLAIN_KEYS.includes(key) || HEADER_KEY.test(key) || CLAIM_KEY.test(key)) return null
  const name = key.replace(/\[.*$/s, '')
  if (name === 'request.headers')
    return `${quote(key)}: write request.headers[NAME] with the name of a header`
  if (name === 'request.auth.claims')
    return `${quote(key)}: write request.auth.claims[NAME], nested claims as [A][B]`
  const reason = REFUSED.find(([prefix]) => key.startsWith(prefix))?.[1]
  if (reason) return `${quote(key)} ${reason}`
  const near = suggestion(name, [...PLAIN_KEYS, 'request.headers', 'request.auth.claims'])
  return `${quote(key)} is not an attribute of a request${near && `: did you mean ${near}?`}`
}

const IP_KEYS = new Set(['source.ip', 'remote.ip', 'destination.ip'])
const PLAIN_KEYS = [
  'source.ip',
  'remote.ip',
  'source.namespace',
  'source.principal',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'destination.ip',
  'destination.port',
  'connection.sni',
]
const HEADER_KEY = /^request\.headers\[[!#$%&'*+.^_`|~0-9A-Za-z-]+\]$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are refused
const CLAIM_KEY = /^request\.auth\.claims(\[[^[\]\x00-\x1f\x7f]+\])+$/
const REFUSED = [
  ['experimental.', 'is not available: Envoy filters do not exist here'],
  ['source.serviceAccount', 'is not available: use from.source.serviceAccounts'],
  ['destination.namespace', "is not needed: a policy is for its own namespace's functions"],
  ['destination.labels', 'is not needed: use the selector'],
  ['destination.name', 'is not available: use the selector'],
  ['destination.user', 'is not available: use the selector'],
] as const
