import type { FunctionSpec } from '../api/function-spec.ts'
import type { Sidecar } from '../api/sidecar.ts'
import { EGRESS_HEADER, EGRESS_LISTED, EGRESS_OPEN } from '../sidecar/layout/egress.ts'
import { ByteWriter } from './byte-writer.ts'
import { egressHostMatch } from './egress-host.ts'
import type { CompiledSection, RuleName, SectionProblem } from './section.ts'
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
  const ingress = sidecarFor(input, fn)?.spec.ingress ?? []
  const ports = ingress.length > 0 ? [...new Set(ingress.map(({ port }) => port.number))] : [fn.port]
  const problems: SectionProblem[] = []
  const listeners = (egress?.spec.egress ?? []).map((listener, index) => {
    const matches = listener.hosts
      .map((host) => egressHostMatch(host, fn.namespace))
      .filter((match): match is StringMatch => match !== null)
    const problem = listProblem(matches)
    if (!problem) return { port: listener.port?.number ?? 0, list: encodeStringList(matches) }
    problems.push({
      code: 'too-large',
      resource: `Sidecar ${nameOf(egress!)}`,
      source: egress!.source,
      field: `spec.egress[${index}].hosts`,
      message: problem,
    })
    return { port: 0, list: Buffer.alloc(0) }
  })
  if (problems.length > 0) return { ok: false, problems }
  const rules = listeners.map(
    (_, index): RuleName => ({ policy: nameOf(egress!), index, source: egress!.source }),
  )
  return { ok: true, bytes: encode(fn.key, egress ? nameOf(egress) : null, listeners, ports), rules }
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
  sidecar: string | null,
  listeners: readonly { readonly port: number; readonly list: Buffer }[],
  ports: readonly number[],
): Buffer {
  const names = [Buffer.from(own, 'utf8'), Buffer.from(sidecar ?? '', 'utf8')] as const
  const body = new ByteWriter()
  const place = (write: () => void): number => {
    const offset = EGRESS_HEADER + body.length
    write()
    body.align()
    return offset
  }
  const ownAt = place(() => body.bytes(names[0]))
  const sidecarAt = place(() => body.bytes(names[1]))
  const listenersAt = place(() => {
    for (const { port, list } of listeners) body.block(() => body.u32(port).bytes(list))
  })
  const portsAt = place(() => {
    for (const port of ports) body.u32(port)
  })
  const out = new ByteWriter()
  out.u32(sidecar === null ? EGRESS_OPEN : EGRESS_LISTED)
  out.u32(ownAt).u32(names[0].length).u32(sidecarAt).u32(names[1].length)
  out.u32(listeners.length).u32(listenersAt).u32(ports.length).u32(portsAt)
  return out.bytes(body.finish()).finish()
}
