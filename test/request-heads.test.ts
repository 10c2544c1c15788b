// Request heads through the real guest: golden/request-heads.txt.
// Options: direction=ingress|outbound|inbound normalization=... proxies=N tls=1 target=ns/name max=BYTES

import { join } from 'node:path'
import { REASONS } from '../src/sidecar/layout/reasons.ts'
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  OUT_FLAG_EXPECT_CONTINUE,
  OUT_FLAG_IDEMPOTENT,
  OUT_FLAG_KEEP_ALIVE,
  OUT_FLAG_SAMPLED,
  OUT_FLAG_UPGRADE,
} from '../src/sidecar/layout/record.ts'
import { type GoldenCase, goldenTests, showBytes } from './golden-cases.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'

const sidecars = await realSidecars()
const policies = new Map<string, Buffer>()

function judge({ options, input }: GoldenCase): string {
  const direction = DIRECTIONS[options.direction ?? 'ingress']!
  const facts = factsOf(direction, { tls: options.tls === '1' })
  sidecars.maxHeadBytes = Number(options.max ?? 16_384)
  const opened = sidecars.open(input, 0, input.length, facts, NOW, RANDOM)
  if (opened.kind === 'incomplete') return 'incomplete'
  if (opened.kind === 'failed') return `failed: ${opened.reason}`
  if (opened.kind === 'denied') return refusal(opened.denial.status, opened.denial.reason)
  const decision = sidecars.decide(policyOf(options), options.target ?? 'shop/cart', 8080)
  if (decision.kind === 'failed') return `failed: ${decision.reason}`
  if (decision.kind === 'denied') return refusal(decision.denial.status, decision.denial.reason)
  const rest = input.length - decision.headLength
  const lines = [
    `forward to ${opened.host || '-'} port ${opened.port || '-'}, ${bodyText(decision.body, decision.bodyLength)}` +
      `${flagText(decision.flags)}${rest === 0 ? '' : `, ${rest} bytes behind`}`,
    showBytes(decision.head),
  ]
  if (decision.sendBody !== decision.body) lines.push(`sent with ${bodyText(decision.sendBody, 0)}`)
  return lines.join('\n')
}

function policyOf(options: Record<string, string>): Buffer {
  const { normalization = 'DEFAULT', proxies = '0' } = options
  const key = `${normalization} ${proxies}`
  const policy =
    policies.get(key) ??
    openPolicy({
      pathNormalization: { normalization },
      defaultConfig: { gatewayTopology: { numTrustedProxies: Number(proxies) } },
    })
  policies.set(key, policy)
  return policy
}

function refusal(status: number, reason: number): string {
  return `refused ${status} ${REASONS[reason]!.code}`
}

function bodyText(body: number, length: number): string {
  if (body === BODY_LENGTH) return `body of ${length} bytes`
  return body === BODY_CHUNKED ? 'chunked body' : 'no body'
}

function flagText(flags: number): string {
  return Object.entries(FLAGS)
    .filter(([, flag]) => (flags & flag) !== 0)
    .map(([name]) => `, ${name}`)
    .join('')
}

const DIRECTIONS: Record<string, number> = {
  ingress: DIRECTION_INGRESS,
  outbound: DIRECTION_OUTBOUND,
  inbound: DIRECTION_INBOUND,
}

const FLAGS = {
  'keep-alive': OUT_FLAG_KEEP_ALIVE,
  idempotent: OUT_FLAG_IDEMPOTENT,
  'expects 100': OUT_FLAG_EXPECT_CONTINUE,
  upgrade: OUT_FLAG_UPGRADE,
  sampled: OUT_FLAG_SAMPLED,
}

goldenTests(join(import.meta.dirname, 'golden/request-heads.txt'), judge)
