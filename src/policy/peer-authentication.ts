import type { FunctionSpec } from '../api/function-spec.ts'
import type { MutualTlsMode, PeerAuthentication } from '../api/peer-authentication.ts'
import { MTLS_DISABLE, MTLS_PERMISSIVE, MTLS_STRICT } from '../sidecar/layout/peer-authentication.ts'
import { NO_RULE } from '../sidecar/layout/record.ts'
import { ByteWriter } from './byte-writer.ts'
import type { CompiledSection, RuleName } from './section.ts'
import { selects } from './selector.ts'

/** What the PEER_AUTHENTICATION section is compiled from. */
export interface PeerAuthenticationInput {
  readonly config: { readonly rootNamespace: string }
  readonly peerAuthentications: readonly PeerAuthentication[]
}

/** The function's section of peer authentication: a mode for each port, inherited as in Istio from workload, namespace, mesh. */
export function compilePeerAuthentication(input: PeerAuthenticationInput, fn: FunctionSpec): CompiledSection {
  const own = input.peerAuthentications.filter((policy) =>
    isForWorkload(policy, fn, input.config.rootNamespace),
  )
  if (own.length > 1) {
    const [first, second] = own.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)) as [
      PeerAuthentication,
      PeerAuthentication,
    ]
    const message = `selects ${fn.key}, and so does PeerAuthentication ${nameOf(first)} (${first.source.file}:${first.source.line}): a function has one`
    return {
      ok: false,
      problems: [
        {
          code: 'bad-value',
          resource: `PeerAuthentication ${nameOf(second)}`,
          source: second.source,
          field: 'spec.selector',
          message,
        },
      ],
    }
  }
  return { ok: true, ...encode(own[0] ?? null, wider(input, fn)) }
}

/** The policies that a function inherits from, the nearest first. */
function wider(input: PeerAuthenticationInput, fn: FunctionSpec): PeerAuthentication[] {
  const { rootNamespace } = input.config
  const all = input.peerAuthentications.filter((policy) => !hasSelector(policy))
  const of = (namespace: string) => all.filter(({ metadata }) => metadata.namespace === namespace)
  return fn.namespace === rootNamespace ? of(rootNamespace) : [...of(fn.namespace), ...of(rootNamespace)]
}

/** In Istio a selector counts only outside the root namespace; check-together.ts refuses it there. */
function isForWorkload(policy: PeerAuthentication, fn: FunctionSpec, rootNamespace: string): boolean {
  const { metadata, spec } = policy
  if (!hasSelector(policy) || metadata.namespace !== fn.namespace || fn.namespace === rootNamespace)
    return false
  return selects(spec.selector?.matchLabels, fn)
}

function hasSelector({ spec }: PeerAuthentication): boolean {
  return Object.keys(spec.selector?.matchLabels ?? {}).length > 0
}

interface Decided {
  mode: MutualTlsMode
  /** Index of its policy in `rules`. */
  rule: number
}

function encode(
  own: PeerAuthentication | null,
  inherited: readonly PeerAuthentication[],
): { bytes: Buffer; rules: RuleName[] } {
  const policies = own ? [own, ...inherited] : inherited
  const rules = policies.map((policy) => ({ policy: nameOf(policy), index: 0, source: policy.source }))
  const rule = policies.findIndex(({ spec }) => (spec.mtls?.mode ?? 'UNSET') !== 'UNSET')
  const whole: Decided =
    rule < 0 ? { mode: 'STRICT', rule: NO_RULE } : { mode: policies[rule]!.spec.mtls!.mode, rule }
  const ports = Object.entries(own?.spec.portLevelMtls ?? {})
  const out = new ByteWriter()
  out.u32(MODES[whole.mode]).u32(whole.rule).u32(ports.length)
  for (const [port, { mode }] of ports) {
    const decided = mode === 'UNSET' ? whole : { mode, rule: 0 }
    out.u32(Number(port)).u32(MODES[decided.mode]).u32(decided.rule)
  }
  return { bytes: out.finish(), rules }
}

const MODES: Readonly<Record<MutualTlsMode, number>> = {
  STRICT: MTLS_STRICT,
  PERMISSIVE: MTLS_PERMISSIVE,
  DISABLE: MTLS_DISABLE,
  UNSET: MTLS_STRICT,
}

function nameOf({ metadata }: PeerAuthentication): string {
  return `${metadata.namespace}/${metadata.name}`
}
