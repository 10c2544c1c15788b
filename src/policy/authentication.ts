import type { FunctionSpec } from '../api/function-spec.ts'
import { hostOfUri } from '../api/key-set.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import type { JwtRule, RequestAuthentication } from '../api/request-authentication.ts'
import { AUTHN_HEADER, MOST_JWT_RULES } from '../sidecar/layout/authentication.ts'
import { ByteWriter } from './byte-writer.ts'
import { encodeJwtRule } from './jwt-rule.ts'
import { type CompiledSection, MOST_SECTION_BYTES, type SectionProblem } from './section.ts'
import { applies } from './selector.ts'
import { encodeLocation, tokenLocations } from './token-location.ts'

/** What the AUTHENTICATION section is compiled from. */
export interface AuthenticationInput {
  readonly config: Pick<MeshConfigSpec, 'rootNamespace' | 'jwksHosts'>
  readonly requestAuthentications: readonly RequestAuthentication[]
}

/** A rule and where it was written; its place in a function's list is its number in verdicts and needs. */
export interface PlacedRule {
  readonly rule: JwtRule
  readonly policy: RequestAuthentication
  readonly index: number
}

/**
 * The rules that apply to a function, as Istio puts them together: those of all its policies, by issuer. Of several that a token
 * satisfies the first one counts.
 */
export function jwtRulesFor(
  { config, requestAuthentications }: AuthenticationInput,
  fn: FunctionSpec,
): PlacedRule[] {
  return requestAuthentications
    .filter(({ metadata, spec }) =>
      applies(metadata.namespace, spec.selector?.matchLabels, fn, config.rootNamespace),
    )
    .toSorted((a, b) => compare(nameOf(a), nameOf(b)))
    .flatMap((policy) => policy.spec.jwtRules.map((rule, index) => ({ rule, policy, index })))
    .toSorted((a, b) => compare(a.rule.issuer, b.rule.issuer))
}

/** The function's section of request authentication; without bytes where nothing applies to it. */
export function compileAuthentication(input: AuthenticationInput, fn: FunctionSpec): CompiledSection {
  const placed = jwtRulesFor(input, fn)
  if (placed.length === 0) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  const problems = [...boundProblems(placed, fn), ...outputProblems(placed), ...hostProblems(placed, input)]
  if (problems.length > 0) return { ok: false, problems }
  const bytes = encodeSection(placed.map(({ rule }) => rule))
  if (bytes.length > MOST_SECTION_BYTES) {
    const message = `the rules for ${fn.key} take ${bytes.length} bytes, at most ${MOST_SECTION_BYTES} fit: shorten their lists`
    return { ok: false, problems: [problemOf(placed.at(-1)!, 'too-large', '', message)] }
  }
  const rules = placed.map(({ policy, index }) => ({ policy: nameOf(policy), index, source: policy.source }))
  return { ok: true, bytes, rules }
}

/** Most fields that all rules of a function output: each is looked for among all fields of a head. */
const MOST_OUTPUTS = 128

function encodeSection(rules: readonly JwtRule[]): Buffer {
  const out = new ByteWriter()
  const outputs = outputNames(rules)
  const locations = tokenLocations(rules)
  out.u32(rules.length)
  out.u32(locations.length)
  const firstLocation = out.reserve()
  out.u32(outputs.length)
  const firstOutput = out.reserve()
  if (out.length !== AUTHN_HEADER) throw new Error('the section header is not as laid out')
  const offsets = rules.map(() => out.reserve())
  out.patch(firstLocation, out.length)
  for (const location of locations) encodeLocation(out, location)
  out.patch(firstOutput, out.length)
  for (const name of outputs) {
    const bytes = Buffer.from(name, 'latin1')
    out.u16(bytes.length).bytes(bytes)
  }
  out.align()
  for (const [index, rule] of rules.entries()) encodeJwtRule(out, offsets[index]!, rule)
  return out.align().finish()
}

function outputNames(rules: readonly JwtRule[]): string[] {
  return [...new Set(rules.flatMap((rule) => outputHeaders(rule).map(({ name }) => folded(name))))]
}

function outputHeaders(rule: JwtRule): { name: string; field: string }[] {
  const payload = rule.outputPayloadToHeader
  const claims = rule.outputClaimToHeaders.map(({ header }, index) => ({
    name: header,
    field: `outputClaimToHeaders[${index}].header`,
  }))
  return payload === undefined ? claims : [{ name: payload, field: 'outputPayloadToHeader' }, ...claims]
}

/** A name as a server sees it that takes "_" for "-". */
function folded(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

function boundProblems(placed: readonly PlacedRule[], fn: FunctionSpec): SectionProblem[] {
  const problems: SectionProblem[] = []
  if (placed.length > MOST_JWT_RULES) {
    const message = `with this rule ${fn.key} has ${placed.length} rules, at most ${MOST_JWT_RULES} can be judged`
    problems.push(problemOf(placed.at(-1)!, 'too-large', '', message))
  }
  const outputs = outputNames(placed.map(({ rule }) => rule)).length
  if (outputs > MOST_OUTPUTS) {
    const message = `the rules for ${fn.key} output ${outputs} headers, at most ${MOST_OUTPUTS} can be kept from clients`
    problems.push(problemOf(placed.at(-1)!, 'too-large', '', message))
  }
  return problems
}

/** What one rule outputs is taken from what clients send, so that another could never read a token there. */
function outputProblems(placed: readonly PlacedRule[]): SectionProblem[] {
  const locations = tokenLocations(placed.map(({ rule }) => rule))
  const read = new Set(locations.flatMap(({ kind, name }) => (kind === 'header' ? [folded(name)] : [])))
  return placed.flatMap((one) =>
    outputHeaders(one.rule)
      .filter(({ name }) => read.has(folded(name)))
      .map(({ name, field }) => {
        const message = `${JSON.stringify(name)} is where another rule for the same function reads tokens: choose another header`
        return problemOf(one, 'bad-value', field, message)
      }),
  )
}

/** Keys are fetched from nowhere but where the mesh's own configuration allows. */
function hostProblems(placed: readonly PlacedRule[], { config }: AuthenticationInput): SectionProblem[] {
  return placed.flatMap((one) => {
    const { jwksUri } = one.rule
    if (jwksUri === undefined || isAllowed(jwksUri, config.jwksHosts)) return []
    const message = `keys may not be fetched from ${JSON.stringify(new URL(jwksUri).host)}: list it in MeshConfig spec.jwksHosts`
    return [problemOf(one, 'bad-value', 'jwksUri', message)]
  })
}

/** An entry without port allows the port of the URL's scheme. */
function isAllowed(uri: string, hosts: readonly string[]): boolean {
  const host = hostOfUri(uri)
  return hosts.some((one) => one.toLowerCase() === host || one.toLowerCase() === new URL(uri).host)
}

function problemOf(
  { policy, index }: PlacedRule,
  code: SectionProblem['code'],
  field: string,
  message: string,
): SectionProblem {
  return {
    code,
    resource: `RequestAuthentication ${nameOf(policy)}`,
    source: policy.source,
    field: `spec.jwtRules[${index}]${field && `.${field}`}`,
    message,
  }
}

function nameOf({ metadata }: RequestAuthentication): string {
  return `${metadata.namespace}/${metadata.name}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
