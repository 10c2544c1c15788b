import { createHash } from 'node:crypto'
import type { FunctionSpec } from '../api/function-spec.ts'
import { type RateLimit, type RateLimitKey, type RateLimitPolicy, UNIT_MS } from '../api/rate-limit-policy.ts'
import {
  KEY_CALLER,
  KEY_CLAIM,
  KEY_CLIENT_ADDRESS,
  KEY_HEADER,
  KEY_METHOD,
  KEY_TEMPLATES,
  LIMIT_FLAG_ALLOW_UNAVAILABLE,
  LIMIT_FLAG_DRY_RUN,
  LIMIT_HEADER,
  MOST_FUNCTION_LIMITS,
  MOST_FUNCTION_PARTS,
} from '../sidecar/layout/rate-limit.ts'
import { ByteWriter } from './byte-writer.ts'
import { claimPath, fieldNameHash } from './condition.ts'
import { isPathTemplate, parsePathTemplate } from './path-template.ts'
import type { QuotaLimit } from './quota-limit.ts'
import { compileRule } from './rule.ts'
import { type CompiledSection, MOST_SECTION_BYTES, type RuleName, type SectionProblem } from './section.ts'
import { applies } from './selector.ts'
import { encodeStringList, parseStringMatch, type StringMatch } from './string-match.ts'
import { type TrustDomains, trustDomainsOf } from './trust-domain.ts'

/** What the RATE_LIMIT section is compiled from. */
export interface RateLimitInput {
  readonly config: {
    readonly rootNamespace: string
    readonly trustDomain: string
    readonly trustDomainAliases?: readonly string[]
  }
  readonly rateLimitPolicies?: readonly RateLimitPolicy[]
}

/** The function's section of rate limits; without bytes where nothing applies to it. */
export function compileRateLimit(mesh: RateLimitInput, fn: FunctionSpec): CompiledSection {
  const limits = limitsFor(mesh, fn)
  if (limits.length === 0) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  const problems = tooMany(limits, fn)
  const out = new ByteWriter().u32(limits.length)
  for (const placed of limits) {
    const before = out.length
    writeLimit(out, placed, trustDomainsOf(mesh.config), problems)
    if (out.length > MOST_SECTION_BYTES && before <= MOST_SECTION_BYTES) {
      const message = `with this limit those of ${fn.key} take ${out.length} bytes, at most ${MOST_SECTION_BYTES} fit: shorten its lists`
      problems.push(problemOf(placed, 'match', 'too-large', message))
    }
  }
  if (problems.length > 0) return { ok: false, problems }
  const rules = limits.map(({ policy, index }): RuleName => {
    return { policy: nameOf(policy), index, source: policy.source }
  })
  return { ok: true, bytes: out.finish(), rules }
}

/** The same limits as engines and the quota authority count by them, in the section's order. */
export function quotaLimits(mesh: RateLimitInput, fn: FunctionSpec): QuotaLimit[] {
  return limitsFor(mesh, fn).map(({ policy, limit }) => {
    const windowMs = windowOf(limit)
    // Revisions of one function share what it may let through.
    const identity = [
      `${fn.namespace}/${fn.service ?? fn.name}`,
      nameOf(policy),
      limit.name,
      limit.window,
      windowMs,
      limit.scope,
    ]
    return {
      id: createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32),
      name: fullName(policy, limit),
      requests: limit.requests,
      windowMs,
      window: limit.window,
      burst: limit.burst ?? null,
      scope: limit.scope,
      maxKeys: limit.maxKeys,
      dryRun: limit.dryRun,
      onUnavailable: limit.onUnavailable,
    }
  })
}

interface PlacedLimit {
  readonly policy: RateLimitPolicy
  readonly limit: RateLimit
  /** Among its policy's limits. */
  readonly index: number
  /** How replies call it: by its policy's name too where another policy has a limit of the same name. */
  readonly label: string
}

/** By the policies' namespaces and names, then as written. */
function limitsFor({ config, rateLimitPolicies = [] }: RateLimitInput, fn: FunctionSpec): PlacedLimit[] {
  const limits = rateLimitPolicies
    .filter(({ metadata, spec }) =>
      applies(metadata.namespace, spec.selector?.matchLabels, fn, config.rootNamespace),
    )
    .toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
    .flatMap((policy) => policy.spec.limits.map((limit, index) => ({ policy, limit, index })))
  return limits.map((placed) => {
    const { limit, policy } = placed
    const alone = limits.filter((other) => other.limit.name === limit.name).length === 1
    return { ...placed, label: alone ? limit.name : `${nameOf(policy)}/${limit.name}` }
  })
}

function tooMany(limits: readonly PlacedLimit[], fn: FunctionSpec): SectionProblem[] {
  const last = limits.at(-1)!
  const problems: SectionProblem[] = []
  if (limits.length > MOST_FUNCTION_LIMITS) {
    const message = `with this policy ${fn.key} has ${limits.length} limits, at most ${MOST_FUNCTION_LIMITS} can be judged`
    problems.push(problemOf(last, 'name', 'too-large', message))
  }
  const parts = limits.reduce((count, { limit }) => count + (limit.key?.length ?? 0), 0)
  if (parts > MOST_FUNCTION_PARTS) {
    const message = `with this policy the keys of ${fn.key} have ${parts} parts, at most ${MOST_FUNCTION_PARTS} can be judged`
    problems.push(problemOf(last, 'key', 'too-large', message))
  }
  const headers = limits.reduce((count, { limit }) => count + headerConditions(limit), 0)
  if (headers > MOST_HEADER_CONDITIONS) {
    const message = `with this policy the limits of ${fn.key} have ${headers} conditions on headers, at most ${MOST_HEADER_CONDITIONS} can be judged`
    problems.push(problemOf(last, 'match', 'too-large', message))
  }
  return problems
}

/** Beside authorization's own; see there. */
const MOST_HEADER_CONDITIONS = 100

function headerConditions({ match = [] }: RateLimit): number {
  return match
    .flatMap((rule) => rule.when ?? [])
    .filter(({ key }) => key.startsWith('request.headers['))
    .reduce((count, { values, notValues }) => count + (values ? 1 : 0) + (notValues ? 1 : 0), 0)
}

function writeLimit(
  out: ByteWriter,
  placed: PlacedLimit,
  domains: TrustDomains,
  problems: SectionProblem[],
): void {
  const { policy, limit, label } = placed
  const rules: Buffer[] = []
  for (const [index, rule] of (limit.match ?? []).entries()) {
    const compiled = compileRule(rule, policy.metadata.namespace, domains)
    if (compiled.ok) rules.push(compiled.bytes)
    else {
      for (const { code, field, problem } of compiled.problems)
        problems.push(problemOf(placed, `match[${index}].${field}`, code, problem))
    }
  }
  const parts = (limit.key ?? []).map((part, index) => encodePart(part, placed, `key[${index}]`, problems))
  const name = Buffer.from(fullName(policy, limit), 'latin1')
  const quoted = Buffer.from(`"${label}"`, 'latin1')
  const item = Buffer.from(`"${label}";q=${limit.requests};w=${windowOf(limit) / 1000}`, 'latin1')
  const partsSize = sizeOf(parts)
  const rulesSize = sizeOf(rules)
  const texts = LIMIT_HEADER + partsSize + rulesSize
  out.block(() => {
    out.u32(
      (limit.dryRun ? LIMIT_FLAG_DRY_RUN : 0) |
        (limit.onUnavailable === 'allow' ? LIMIT_FLAG_ALLOW_UNAVAILABLE : 0),
    )
    out.u32(texts).u32(name.length)
    out.u32(texts + name.length).u32(quoted.length)
    out.u32(texts + name.length + quoted.length).u32(item.length)
    out.u32(parts.length).u32(LIMIT_HEADER)
    out.u32(rules.length).u32(LIMIT_HEADER + partsSize)
    for (const bytes of [...parts, ...rules, name, quoted, item]) out.bytes(bytes)
  })
}

function encodePart(
  part: RateLimitKey,
  placed: PlacedLimit,
  field: string,
  problems: SectionProblem[],
): Buffer {
  const out = new ByteWriter()
  out.block(() => {
    if (part.caller) out.u32(KEY_CALLER)
    else if (part.method) out.u32(KEY_METHOD)
    else if (part.header !== undefined) {
      const name = Buffer.from(part.header.toLowerCase(), 'latin1')
      out.u32(KEY_HEADER).u32(fieldNameHash(part.header)).u32(name.length).bytes(name)
    } else if (part.claim !== undefined) {
      const path = claimPath(part.claim.startsWith('[') ? part.claim.slice(1, -1).split('][') : [part.claim])
      out.u32(KEY_CLAIM).u32(path.length).bytes(path)
    } else if (part.clientAddress) {
      out.u32(KEY_CLIENT_ADDRESS).u32(part.clientAddress.ipv4Prefix).u32(part.clientAddress.ipv6Prefix)
    } else {
      const templates = part.pathTemplates ?? []
      out.u32(KEY_TEMPLATES).u32(templates.length)
      for (const [index, path] of templates.entries()) {
        const match = pathMatch(path)
        if (!match.ok) {
          problems.push(problemOf(placed, `${field}.pathTemplates[${index}]`, 'bad-value', match.problem))
          continue
        }
        const list = encodeStringList([match.match])
        const padded = (list.length + 3) & ~3
        out.u32(padded).bytes(list).align()
      }
    }
  })
  return out.finish()
}

function pathMatch(path: string): { ok: true; match: StringMatch } | { ok: false; problem: string } {
  if (!isPathTemplate(path)) return { ok: true, match: parseStringMatch(path) }
  const template = parsePathTemplate(path)
  return template.ok ? { ok: true, match: { form: 'template', program: template.program } } : template
}

function windowOf({ per, unit }: RateLimit): number {
  return per * UNIT_MS[unit]
}

function nameOf({ metadata }: RateLimitPolicy): string {
  return `${metadata.namespace}/${metadata.name}`
}

function fullName(policy: RateLimitPolicy, limit: RateLimit): string {
  return `${nameOf(policy)} ${limit.name}`
}

function sizeOf(blocks: readonly Buffer[]): number {
  return blocks.reduce((size, block) => size + block.length, 0)
}

function problemOf(
  { policy, index }: PlacedLimit,
  field: string,
  code: SectionProblem['code'],
  message: string,
): SectionProblem {
  return {
    code,
    resource: `RateLimitPolicy ${nameOf(policy)}`,
    source: policy.source,
    field: `spec.limits[${index}].${field}`,
    message,
  }
}
