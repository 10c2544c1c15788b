import type { AuthorizationPolicy } from '../api/authorization-policy.ts'
import type { ExternalAuthorizer } from '../api/external-authorizer.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import {
  EXTERNAL_ASKED,
  EXTERNAL_FAIL_OPEN,
  EXTERNAL_FIRST_POLICY,
  EXTERNAL_HEADER,
  EXTERNAL_LINE_NAMES,
  EXTERNAL_LINES,
  EXTERNAL_ON_ALLOW,
  EXTERNAL_ON_DENY,
  EXTERNAL_PATH_PREFIX,
  EXTERNAL_POLICIES,
  EXTERNAL_PROVIDER,
  EXTERNAL_STATUS,
  EXTERNAL_TO_UPSTREAM,
} from '../sidecar/layout/external-authorization.ts'
import { encodePolicies, policiesFor, problemOf } from './authorization.ts'
import { ByteWriter } from './byte-writer.ts'
import type { CompiledSection, SectionProblem } from './section.ts'
import { encodeStringList, parseStringMatch } from './string-match.ts'

/** What the EXTERNAL_AUTHORIZATION section is compiled from. */
export interface ExternalAuthorizationInput {
  readonly config: Pick<
    MeshConfigSpec,
    'rootNamespace' | 'trustDomain' | 'defaultAuthorization' | 'extensionProviders'
  > &
    Partial<Pick<MeshConfigSpec, 'trustDomainAliases'>>
  readonly authorizationPolicies: readonly AuthorizationPolicy[]
}

/** Where an engine asks for a function, and how long it waits. */
export interface CheckService {
  /** The provider's name. */
  name: string
  /** A DNS name or an IP address. */
  host: string
  port: number
  timeoutMs: number
}

/** The EXTERNAL_AUTHORIZATION section of a function: empty where no CUSTOM policy applies to it. */
export function compileExternalAuthorization(
  input: ExternalAuthorizationInput,
  fn: FunctionSpec,
): CompiledSection {
  const policies = customPolicies(input, fn)
  const first = policies[0]
  if (!first) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  const problems = policies.flatMap((policy) => providerProblems(input, policy, first, fn))
  const provider = providerOf(input, first)
  if (problems.length > 0 || !provider) return { ok: false, problems }
  const fixed = encodeProvider(first.spec.provider!.name, provider)
  const others = policiesFor(input, fn).filter(({ spec }) => spec.action !== 'CUSTOM')
  const encoded = encodePolicies(input, fn, policies, fixed.length, others)
  if (!encoded.ok) return encoded
  fixed.writeUInt32LE(policies.length, EXTERNAL_POLICIES)
  fixed.writeUInt32LE(fixed.length, EXTERNAL_FIRST_POLICY)
  return { ok: true, bytes: Buffer.concat([fixed, encoded.bytes]), rules: encoded.rules }
}

/** The check service that an engine asks for this function; null where no CUSTOM policy applies to it. */
export function checkServiceOf(input: ExternalAuthorizationInput, fn: FunctionSpec): CheckService | null {
  const first = customPolicies(input, fn)[0]
  const provider = first && providerOf(input, first)
  if (!provider) return null
  const { service, port, timeout } = provider
  // Istio's `namespace/host`: the namespace tells apart what is ambiguous in its registry, and here nothing is.
  return { name: first.spec.provider!.name, host: service.split('/').at(-1)!, port, timeoutMs: timeout }
}

function customPolicies(input: ExternalAuthorizationInput, fn: FunctionSpec): AuthorizationPolicy[] {
  return policiesFor(input, fn).filter(({ spec }) => spec.action === 'CUSTOM')
}

function providerOf(
  { config }: ExternalAuthorizationInput,
  { spec }: AuthorizationPolicy,
): ExternalAuthorizer | undefined {
  return config.extensionProviders.find(({ name }) => name === spec.provider?.name)?.envoyExtAuthzHttp
}

/** One workload has one check service, as in Istio. */
function providerProblems(
  input: ExternalAuthorizationInput,
  policy: AuthorizationPolicy,
  first: AuthorizationPolicy,
  fn: FunctionSpec,
): SectionProblem[] {
  const name = policy.spec.provider?.name ?? ''
  const wanted = first.spec.provider?.name ?? ''
  if (!providerOf(input, policy)) {
    const message = `${JSON.stringify(name)} is no check service: list it under MeshConfig spec.extensionProviders (envoyExtAuthzHttp)`
    return [problemOf(policy, 'spec.provider.name', 'bad-value', message)]
  }
  if (name === wanted) return []
  const message = `${fn.key} has the check service ${JSON.stringify(wanted)} by ${first.metadata.namespace}/${first.metadata.name}, and a function has one: name the same, or select other functions`
  return [problemOf(policy, 'spec.provider.name', 'bad-value', message)]
}

function encodeProvider(name: string, provider: ExternalAuthorizer): Buffer {
  const added = Object.entries(provider.includeAdditionalHeadersInCheck)
  const lines = added.map(([field, value]) => `${field.toLowerCase()}: ${value}\r\n`).join('')
  const body = new ByteWriter()
  const place = (bytes: Buffer): number => {
    const offset = EXTERNAL_HEADER + body.length
    body.bytes(bytes).align()
    return offset
  }
  const header = Buffer.alloc(EXTERNAL_HEADER)
  header.writeUInt32LE(provider.failOpen ? 1 : 0, EXTERNAL_FAIL_OPEN)
  header.writeUInt32LE(provider.statusOnError, EXTERNAL_STATUS)
  const texts: [number, string][] = [
    [EXTERNAL_PROVIDER, name],
    [EXTERNAL_PATH_PREFIX, provider.pathPrefix],
    [EXTERNAL_LINES, lines],
  ]
  for (const [at, text] of texts) {
    const bytes = Buffer.from(text, 'utf8')
    header.writeUInt32LE(place(bytes), at)
    header.writeUInt32LE(bytes.length, at + 4)
  }
  const lists: [number, readonly string[]][] = [
    [EXTERNAL_LINE_NAMES, added.map(([field]) => field)],
    [EXTERNAL_ASKED, provider.includeRequestHeadersInCheck],
    [EXTERNAL_TO_UPSTREAM, provider.headersToUpstreamOnAllow],
    [EXTERNAL_ON_DENY, provider.headersToDownstreamOnDeny],
    [EXTERNAL_ON_ALLOW, provider.headersToDownstreamOnAllow],
  ]
  for (const [at, names] of lists) {
    if (names.length === 0) continue
    header.writeUInt32LE(place(encodeStringList(names.map((one) => parseStringMatch(one.toLowerCase())))), at)
  }
  return Buffer.concat([header, body.finish()])
}
