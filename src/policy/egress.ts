import type { FunctionSpec } from '../api/function-spec.ts'
import type { Sidecar } from '../api/sidecar.ts'
import { EGRESS_HEADER, EGRESS_LISTED, EGRESS_OPEN } from '../sidecar/layout/egress.ts'
import { ByteWriter } from './byte-writer.ts'
import { egressHostMatch } from './egress-host.ts'
import { type CompiledSection, MOST_SECTION_BYTES } from './section.ts'
import { selects } from './selector.ts'
import { encodeStringList, listProblem, type StringMatch } from './string-match.ts'

/** What the EGRESS section is compiled from. */
export interface EgressInput {
  readonly config: { readonly rootNamespace: string }
  readonly sidecars: readonly Sidecar[]
}

/** The EGRESS section of a function: which callees it may know, and on which ports it is called. */
export function compileEgress(input: EgressInput, fn: FunctionSpec): CompiledSection {
  const egress = egressSidecar(input, fn)
  const ports = acceptedPorts(input, fn)
  if (!egress) return { ok: true, bytes: encode(fn.key, null, ports), rules: [] }
  const { source } = egress
  const callees = listedCallees(egress, fn)
  const sidecar = nameOf(egress)
  const refuse = (message: string): CompiledSection => ({
    ok: false,
    problems: [
      { code: 'too-large', resource: `Sidecar ${sidecar}`, source, field: 'spec.egress[0].hosts', message },
    ],
  })
  const problem = listProblem(callees)
  if (problem) return refuse(problem)
  const bytes = encode(fn.key, { sidecar, callees: encodeStringList(callees) }, ports)
  if (bytes.length > MOST_SECTION_BYTES) {
    return refuse(
      `takes ${bytes.length} bytes, at most ${MOST_SECTION_BYTES} fit: list namespaces, as "ns/*"`,
    )
  }
  return { ok: true, bytes, rules: [{ policy: sidecar, index: 0, source }] }
}

/** The ports at which a function is called: those of its Sidecar's ingress, else its declared one. */
export function acceptedPorts(input: EgressInput, fn: FunctionSpec): number[] {
  const ingress = sidecarFor(input, fn)?.spec.ingress ?? []
  return ingress.length > 0 ? ingress.map(({ port }) => port.number) : [fn.port]
}

/** Which callees ("namespace/name") a function may know: those of its Sidecar's egress hosts, where it has any. */
export function knownCallees(input: EgressInput, fn: FunctionSpec): (callee: string) => boolean {
  const egress = egressSidecar(input, fn)
  if (!egress) return () => true
  const matches = listedCallees(egress, fn)
  return (callee) => matches.some((match) => fits(match, callee))
}

function fits(match: StringMatch, callee: string): boolean {
  switch (match.form) {
    case 'present':
      return true
    case 'exact':
      return callee === match.text
    case 'prefix':
      return callee.startsWith(match.text)
    case 'suffix':
      return callee.endsWith(match.text)
    default:
      return false
  }
}

function listedCallees({ spec }: Sidecar, fn: FunctionSpec): StringMatch[] {
  return (spec.egress ?? [])
    .flatMap(({ hosts }) => hosts)
    .map((host) => egressHostMatch(host, fn.namespace))
    .filter((match): match is StringMatch => match !== null)
}

/**
 * The Sidecar that configures a function: the one in its namespace whose selector takes it, else its namespace's
 * without selector, else the root namespace's. Of several that fit, the first by name.
 */
export function sidecarFor(input: EgressInput, fn: FunctionSpec): Sidecar | null {
  return candidates(input, fn)[0] ?? null
}

/** The Sidecar whose egress holds: one without egress leaves it to the next wider one. */
function egressSidecar(input: EgressInput, fn: FunctionSpec): Sidecar | null {
  return candidates(input, fn).find(({ spec }) => (spec.egress?.length ?? 0) > 0) ?? null
}

/** The Sidecars that could configure a function, nearest first, at most one of each reach. */
function candidates({ sidecars, config }: EgressInput, fn: FunctionSpec): Sidecar[] {
  const byName = sidecars.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  const own = byName.filter(({ metadata }) => metadata.namespace === fn.namespace)
  const selected = own.find((sidecar) => hasSelector(sidecar) && selects(labelsOf(sidecar), fn))
  const namespaceWide = own.find((sidecar) => !hasSelector(sidecar))
  const meshWide = byName.find(
    (sidecar) => sidecar.metadata.namespace === config.rootNamespace && !hasSelector(sidecar),
  )
  return [selected, namespaceWide, meshWide].filter((sidecar) => sidecar !== undefined)
}

function labelsOf({ spec }: Sidecar): Readonly<Record<string, string>> {
  return spec.workloadSelector?.labels ?? {}
}

function hasSelector(sidecar: Sidecar): boolean {
  return Object.keys(labelsOf(sidecar)).length > 0
}

function nameOf({ metadata }: Sidecar): string {
  return `${metadata.namespace}/${metadata.name}`
}

function encode(
  own: string,
  listed: { readonly sidecar: string; readonly callees: Buffer } | null,
  ports: readonly number[],
): Buffer {
  const body = new ByteWriter()
  const place = (bytes: Uint8Array): number => {
    const offset = EGRESS_HEADER + body.length
    body.bytes(bytes).align()
    return offset
  }
  const ownName = Buffer.from(own, 'utf8')
  const sidecarName = Buffer.from(listed?.sidecar ?? '', 'utf8')
  const portNumbers = new ByteWriter()
  for (const port of ports) portNumbers.u32(port)
  const out = new ByteWriter()
  out.u32(listed ? EGRESS_LISTED : EGRESS_OPEN)
  out.u32(place(ownName)).u32(ownName.length)
  out.u32(place(sidecarName)).u32(sidecarName.length)
  out.u32(listed ? place(listed.callees) : 0)
  out.u32(ports.length).u32(place(portNumbers.finish()))
  return out.bytes(body.finish()).finish()
}
