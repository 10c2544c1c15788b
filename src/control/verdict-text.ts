import type { CompiledPolicy } from '../policy/compile-policy.ts'
import {
  NEED_EXTERNAL,
  NEED_QUOTA,
  NEED_SIGNATURE,
  NEED_USER_POLICY,
  NO_RULE,
} from '../sidecar/layout/record.ts'

// The numbers of verdicts (layout/record.ts) as people read them.

export function directionText(direction: number): string {
  return DIRECTIONS[direction] ?? `direction ${direction}`
}

export function policyText(policy: number): string {
  return POLICIES[policy] ?? `policy ${policy}`
}

export function verdictText(verdict: number): string {
  return VERDICTS[verdict] ?? 'unknown'
}

/** "shop/allow-cart rule 0 (policies.yaml:12)"; null where no rule decided. `rules` are null where the policy is not known any more. */
export function ruleText(rules: CompiledPolicy['rules'] | null, policy: number, rule: number): string | null {
  if (rule === NO_RULE) return null
  const name = rules?.[policy]?.[rule]
  return name ? `${name.policy} rule ${name.index} (${name.source.file}:${name.source.line})` : `rule ${rule}`
}

/** What a sidecar waits for: "a check service's answer". */
export function needText(kind: number): string {
  return NEEDS.get(kind) ?? `need ${kind}`
}

const DIRECTIONS = ['ingress', 'outbound', 'inbound']
const VERDICTS = ['allow', 'deny', 'audit', 'skip']
const POLICIES = [
  'http',
  'request authentication',
  'sidecar',
  'authorization',
  'rate limit',
  'tracing',
  'access log',
  'mutual TLS',
  'retries',
  'circuit breaking',
  'external authorization',
  'route',
  'user policy',
]
const NEEDS = new Map([
  [NEED_SIGNATURE, "a token's signature"],
  [NEED_EXTERNAL, "a check service's answer"],
  [NEED_QUOTA, 'a quota'],
  [NEED_USER_POLICY, "a user policy's answer"],
])
