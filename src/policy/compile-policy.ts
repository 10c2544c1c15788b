import { createHash } from 'node:crypto'
import type { AuthorizationPolicy } from '../api/authorization-policy.ts'
import type { DestinationRule } from '../api/destination-rule.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { ManifestError, Source } from '../api/manifest-error.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import type { PeerAuthentication } from '../api/peer-authentication.ts'
import type { RateLimitPolicy } from '../api/rate-limit-policy.ts'
import type { RequestAuthentication } from '../api/request-authentication.ts'
import type { Sidecar } from '../api/sidecar.ts'
import type { Telemetry } from '../api/telemetry.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import type { WasmPolicy } from '../api/wasm-policy.ts'
import {
  POLICY_ABI,
  POLICY_LENGTH,
  POLICY_SECTIONS,
  POLICY_TABLE,
  SECTION_ACCESS_LOG,
  SECTION_AUTHENTICATION,
  SECTION_AUTHORIZATION,
  SECTION_BREAKER,
  SECTION_EGRESS,
  SECTION_ENTRY,
  SECTION_EXTERNAL_AUTHORIZATION,
  SECTION_HTTP,
  SECTION_IDENTITY,
  SECTION_OBSERVATION,
  SECTION_PEER_AUTHENTICATION,
  SECTION_RATE_LIMIT,
  SECTION_ROUTES,
  SECTION_TRACING,
  SECTION_USER_POLICIES,
  SECTIONS,
} from '../sidecar/layout/policy.ts'
import {
  ABI_VERSION,
  POLICY_ACCESS_LOG,
  POLICY_AUTHENTICATION,
  POLICY_AUTHORIZATION,
  POLICY_BREAKER,
  POLICY_EXTERNAL_AUTHORIZATION,
  POLICY_RATE_LIMIT,
  POLICY_ROUTE,
  POLICY_SIDECAR,
  POLICY_TLS,
  POLICY_TRACING,
  POLICY_USER,
} from '../sidecar/layout/record.ts'
import { compileAccessLog } from './access-log.ts'
import { compileAuthentication } from './authentication.ts'
import { compileAuthorization } from './authorization.ts'
import { compileBreaker } from './breaker.ts'
import { compileEgress } from './egress.ts'
import { compileExternalAuthorization } from './external-authorization.ts'
import { compileHttp } from './http.ts'
import { compileIdentity } from './identity.ts'
import { compileObservation } from './observation.ts'
import { compilePeerAuthentication } from './peer-authentication.ts'
import { compileRateLimit } from './rate-limit.ts'
import { checkRoutes, compileRoutes } from './routes.ts'
import type { CompiledSection, RuleName, SectionProblem } from './section.ts'
import { compileTracing } from './tracing.ts'
import { compileUserPolicies } from './user-policies.ts'

export type { RuleName } from './section.ts'

/** All that policies are compiled from. */
export interface MeshView {
  readonly config: MeshConfigSpec
  /** Where the MeshConfig was written, for its errors. */
  readonly configSource?: Source
  readonly authorizationPolicies: readonly AuthorizationPolicy[]
  readonly peerAuthentications: readonly PeerAuthentication[]
  readonly requestAuthentications: readonly RequestAuthentication[]
  readonly rateLimitPolicies?: readonly RateLimitPolicy[]
  readonly destinationRules: readonly DestinationRule[]
  readonly virtualServices?: readonly VirtualService[]
  readonly sidecars: readonly Sidecar[]
  readonly telemetries: readonly Telemetry[]
  readonly wasmPolicies?: readonly WasmPolicy[]
  readonly functions: readonly FunctionSpec[]
}

/** One function's policy as its sidecar reads it (src/sidecar/layout/policy.ts). */
export interface CompiledPolicy {
  readonly bytes: Buffer
  /** First 16 hexadecimal digits of the bytes' SHA-256. */
  readonly hash: string
  /** By POLICY_* number: what stands behind each rule number of a verdict. */
  readonly rules: Readonly<Record<number, readonly RuleName[]>>
}

export type PolicyCompilation =
  | { readonly ok: true; readonly policy: CompiledPolicy }
  | { readonly ok: false; readonly errors: ManifestError[] }

/** Compiles a function's policy, or (`fn` null) the gateway's own for requests that name no function. */
export function compilePolicy(mesh: MeshView, fn: FunctionSpec | null): PolicyCompilation {
  const sections = new Map<number, CompiledSection>()
  sections.set(SECTION_HTTP, compileHttp(mesh.config))
  sections.set(SECTION_TRACING, compileTracing(mesh, fn))
  sections.set(SECTION_ACCESS_LOG, compileAccessLog(mesh, fn))
  sections.set(SECTION_OBSERVATION, compileObservation(mesh, fn))
  if (fn !== null) {
    sections.set(SECTION_IDENTITY, compileIdentity(fn))
    sections.set(SECTION_AUTHORIZATION, compileAuthorization(mesh, fn))
    sections.set(SECTION_EGRESS, compileEgress(mesh, fn))
    sections.set(SECTION_AUTHENTICATION, compileAuthentication(mesh, fn))
    sections.set(SECTION_EXTERNAL_AUTHORIZATION, compileExternalAuthorization(mesh, fn))
    sections.set(SECTION_RATE_LIMIT, compileRateLimit(mesh, fn))
    sections.set(SECTION_PEER_AUTHENTICATION, compilePeerAuthentication(mesh, fn))
    sections.set(SECTION_ROUTES, compileRoutes(mesh, fn))
    sections.set(SECTION_BREAKER, compileBreaker(mesh, fn))
    sections.set(SECTION_USER_POLICIES, compileUserPolicies(mesh, fn))
  }
  const bodies = new Map<number, Buffer>()
  // What names no function is no function's problem.
  if (fn === null) sections.set(SECTION_ROUTES, checkRoutes(mesh))
  const rules: Record<number, readonly RuleName[]> = {}
  const errors: ManifestError[] = []
  for (const [number, section] of sections) {
    if (!section.ok) {
      errors.push(...section.problems.map(toManifestError))
      continue
    }
    bodies.set(number, section.bytes)
    const policy = JUDGES[number]
    if (policy !== undefined) rules[policy] = section.rules
  }
  if (errors.length > 0) return { ok: false, errors }
  const bytes = layOutPolicy(bodies)
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  return { ok: true, policy: { bytes, hash, rules } }
}

/** POLICY_* of the verdicts that a section leads to. */
const JUDGES: Readonly<Record<number, number>> = {
  [SECTION_AUTHORIZATION]: POLICY_AUTHORIZATION,
  [SECTION_EGRESS]: POLICY_SIDECAR,
  [SECTION_TRACING]: POLICY_TRACING,
  [SECTION_ACCESS_LOG]: POLICY_ACCESS_LOG,
  [SECTION_AUTHENTICATION]: POLICY_AUTHENTICATION,
  [SECTION_EXTERNAL_AUTHORIZATION]: POLICY_EXTERNAL_AUTHORIZATION,
  [SECTION_RATE_LIMIT]: POLICY_RATE_LIMIT,
  [SECTION_PEER_AUTHENTICATION]: POLICY_TLS,
  [SECTION_ROUTES]: POLICY_ROUTE,
  [SECTION_BREAKER]: POLICY_BREAKER,
  [SECTION_USER_POLICIES]: POLICY_USER,
}

/** Puts sections behind their table, each on a multiple of 8; one without bytes is absent. */
export function layOutPolicy(sections: ReadonlyMap<number, Buffer>): Buffer {
  let end = align(POLICY_TABLE + SECTIONS * SECTION_ENTRY)
  const starts = new Map<number, number>()
  for (const [section, body] of sections) {
    if (body.length === 0) continue
    starts.set(section, end)
    end = align(end + body.length)
  }
  const bytes = Buffer.alloc(end)
  bytes.writeInt32LE(ABI_VERSION, POLICY_ABI)
  bytes.writeInt32LE(end, POLICY_LENGTH)
  bytes.writeInt32LE(SECTIONS, POLICY_SECTIONS)
  for (const [section, start] of starts) {
    const body = sections.get(section)!
    bytes.writeInt32LE(start, POLICY_TABLE + section * SECTION_ENTRY)
    bytes.writeInt32LE(body.length, POLICY_TABLE + section * SECTION_ENTRY + 4)
    body.copy(bytes, start)
  }
  return bytes
}

function align(offset: number): number {
  return (offset + 7) & ~7
}

function toManifestError({ code, resource, source, field, message }: SectionProblem): ManifestError {
  return { code, file: source.file, line: source.line, column: 1, field, message: `${resource}: ${message}` }
}
