import type { DestinationRule } from '../api/destination-rule.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import { INGRESS_GATEWAY, MESH_GATEWAY } from '../api/http-match.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { FROM_GATEWAY, FROM_INSIDE } from '../sidecar/layout/routes.ts'
import { routeProblem } from './route-problem.ts'
import type { SectionProblem } from './section.ts'

/** What routes are compiled from. */
export interface RouteInput {
  readonly config: { readonly domain: string; readonly rootNamespace: string }
  readonly virtualServices?: readonly VirtualService[]
  readonly destinationRules?: readonly DestinationRule[]
  readonly functions: readonly FunctionSpec[]
}

/** A VirtualService that applies to a function, and to whose requests. */
export interface AppliedService {
  readonly service: VirtualService
  /** FROM_* bits. */
  readonly from: number
  /** Namespaces of the callers it is exported to; null: all. */
  readonly namespaces: readonly string[] | null
}

/**
 * The VirtualServices that apply to a function, in the order in which they are tried: those that other namespaces wrote for
 * their own callers, then by how closely their hosts name the function. The first that a request's caller may see is its.
 */
export function servicesFor(
  input: RouteInput,
  fn: FunctionSpec,
): { services: AppliedService[]; problems: SectionProblem[] } {
  const found: (AppliedService & { host: number; rank: Rank })[] = []
  const problems: SectionProblem[] = []
  for (const service of candidates(input, fn)) {
    const named = namedBy(service, fn, input.config.domain)
    if (!named) continue
    const namespaces = exportedTo(service)
    const rank = { foreign: service.metadata.namespace !== fn.namespace, closeness: named.closeness }
    if (rank.foreign && service.metadata.namespace !== input.config.rootNamespace && !isPrivate(service)) {
      // A wildcard host names many functions, and is only for its namespace's own where nothing else is said.
      if (named.isWildcard) continue
      problems.push(routeProblem(service, { field: 'exportTo', message: ofAnother(fn) }))
      continue
    }
    const seesGateway = namespaces?.includes(input.config.rootNamespace) ?? true
    const from = named.from & gatewaysOf(service.spec.gateways) & (seesGateway ? ~0 : ~FROM_GATEWAY)
    if (from === 0) continue
    const one = { service, from, namespaces, host: named.host, rank }
    const rival = found.find((other) => sameRank(other.rank, rank) && shareCallers(other, one))
    if (rival) {
      const message = `${nameOf(rival.service)} routes the same requests for ${fn.key}: write the routes into one of them`
      problems.push(routeProblem(service, { field: `hosts[${named.host}]`, message }))
    } else found.push(one)
  }
  found.sort((a, b) => Number(b.rank.foreign) - Number(a.rank.foreign) || b.rank.closeness - a.rank.closeness)
  return { services: found.map(({ service, from, namespaces }) => ({ service, from, namespaces })), problems }
}

/** Hosts that name no function of the mesh, and VirtualServices that no request can reach. */
export function checkServices(input: RouteInput): SectionProblem[] {
  const problems: SectionProblem[] = []
  for (const service of input.virtualServices ?? []) {
    const { hosts, gateways } = service.spec
    hosts.forEach((host, index) => {
      const ways = functionsOf(input, host, service.metadata.namespace)
        .map((fn) => wayOf(host, service.metadata.namespace, fn, input.config.domain)?.from ?? 0)
        .reduce((all, from) => all | from, 0)
      const field = `hosts[${index}]`
      if (ways === 0) {
        const message = `${JSON.stringify(host)} names no function of this mesh: write NAME, NAME.NAMESPACE.svc.cluster.local or NAME.NAMESPACE.${input.config.domain}`
        problems.push(routeProblem(service, { field, message }))
      } else if ((ways & gatewaysOf(gateways)) === 0) {
        const message =
          ways === FROM_GATEWAY
            ? `${JSON.stringify(host)} is a host at the gateway, for which this VirtualService is not: list ${INGRESS_GATEWAY} among its gateways`
            : `${JSON.stringify(host)} is cluster-local: the gateway, for which this VirtualService is, does not serve it`
        problems.push(routeProblem(service, { field, message }))
      }
    })
    const seesGateway = exportedTo(service)?.includes(input.config.rootNamespace) ?? true
    if (gatewaysOf(gateways) === FROM_GATEWAY && !seesGateway) {
      const message = `leaves out ${input.config.rootNamespace}, the namespace of the gateway for which this VirtualService is`
      problems.push(routeProblem(service, { field: 'exportTo', message }))
    }
  }
  return problems
}

/** FROM_* bits of `gateways`; without any, all requests for a function go through its sidecar, and so by its routes. */
export function gatewaysOf(gateways: readonly string[] | undefined): number {
  if (!gateways) return FROM_GATEWAY | FROM_INSIDE
  return gateways.reduce((from, name) => from | (name === MESH_GATEWAY ? FROM_INSIDE : FROM_GATEWAY), 0)
}

/** The function that a destination's host names for a VirtualService in `namespace`. */
export function destinationOf(input: RouteInput, host: string, namespace: string): FunctionSpec | undefined {
  const fn = functionsOf(input, host, namespace)[0]
  return fn && internalNames(fn, namespace).includes(host.toLowerCase()) ? fn : undefined
}

/** The VirtualServices that may apply to the function, by name. */
function candidates(input: RouteInput, fn: FunctionSpec): readonly VirtualService[] {
  const { virtualServices } = input
  if (!virtualServices) return []
  let index = indexes.get(virtualServices)
  if (!index) {
    index = { byKey: new Map(), wildcards: [] }
    for (const service of virtualServices) {
      const { hosts } = service.spec
      if (hosts.some((host) => host.startsWith('*'))) index.wildcards.push(service)
      for (const key of new Set(
        hosts.flatMap((host) => keysOf(host, service.metadata.namespace, input.config.domain)),
      )) {
        index.byKey.set(key, [...(index.byKey.get(key) ?? []), service])
      }
    }
    indexes.set(virtualServices, index)
  }
  const named = index.byKey.get(fn.key) ?? []
  return [...new Set([...named, ...index.wildcards])].sort(byName)
}

const indexes = new WeakMap<
  readonly VirtualService[],
  { byKey: Map<string, VirtualService[]>; wildcards: VirtualService[] }
>()

/** The functions that a host may name: all for a wildcard. */
function functionsOf(input: RouteInput, host: string, namespace: string): readonly FunctionSpec[] {
  if (host.startsWith('*')) return input.functions
  let byKey = functionIndexes.get(input.functions)
  if (!byKey) {
    byKey = new Map(input.functions.map((fn) => [fn.key, fn]))
    functionIndexes.set(input.functions, byKey)
  }
  return keysOf(host, namespace, input.config.domain)
    .map((key) => byKey.get(key))
    .filter((fn) => fn !== undefined)
}

const functionIndexes = new WeakMap<readonly FunctionSpec[], Map<string, FunctionSpec>>()

/** "namespace/name" of all functions that a host without wildcard could name. */
function keysOf(written: string, namespace: string, domain: string): string[] {
  const host = written.toLowerCase()
  const internal = /^([^.*]+)(?:\.([^.]+)(?:\.svc(?:\.cluster\.local)?)?)?$/.exec(host)
  const keys = internal ? [`${internal[2] ?? namespace}/${internal[1]}`] : []
  const atGateway = host.endsWith(`.${domain}`) ? host.slice(0, -domain.length - 1).split('.') : []
  if (atGateway.length === 2) keys.push(`${atGateway[1]}/${atGateway[0]}`)
  return keys
}

interface Rank {
  readonly foreign: boolean
  readonly closeness: number
}

interface Way {
  readonly from: number
  readonly closeness: number
  readonly isWildcard: boolean
}

const EXACT = 1_000
const EXACT_AT_GATEWAY = 1_001

function namedBy(
  { metadata, spec }: VirtualService,
  fn: FunctionSpec,
  domain: string,
): (Way & { host: number }) | null {
  let best: (Way & { host: number }) | null = null
  spec.hosts.forEach((host, index) => {
    const way = wayOf(host, metadata.namespace, fn, domain)
    if (!way) return
    const from = way.from | (best?.from ?? 0)
    best = best && best.closeness >= way.closeness ? { ...best, from } : { ...way, from, host: index }
  })
  return best
}

/** Whose requests for the function a host means; null where it does not name it. */
function wayOf(written: string, namespace: string, fn: FunctionSpec, domain: string): Way | null {
  const host = written.toLowerCase()
  const gateway = fn.clusterLocal ? 0 : FROM_GATEWAY
  const atGateway = fn.clusterLocal ? null : `${fn.name}.${fn.namespace}.${domain}`
  if (host === atGateway) return { from: FROM_GATEWAY, closeness: EXACT_AT_GATEWAY, isWildcard: false }
  if (internalNames(fn, namespace).includes(host))
    return { from: FROM_INSIDE | gateway, closeness: EXACT, isWildcard: false }
  if (!host.startsWith('*')) return null
  const covers = (name: string | null) => name?.endsWith(host.slice(1)) === true
  const inside = covers(`${fn.name}.${fn.namespace}.svc.cluster.local`)
  const from = (inside ? FROM_INSIDE | gateway : 0) | (covers(atGateway) ? FROM_GATEWAY : 0)
  return from === 0 ? null : { from, closeness: host.length, isWildcard: true }
}

function internalNames({ name, namespace }: FunctionSpec, from: string): string[] {
  const full = `${name}.${namespace}`
  const names = [full, `${full}.svc`, `${full}.svc.cluster.local`]
  return namespace === from ? [name, ...names] : names
}

function exportedTo({ metadata, spec }: VirtualService): string[] | null {
  if (!spec.exportTo || spec.exportTo.includes('*')) return null
  return spec.exportTo.map((name) => (name === '.' ? metadata.namespace : name))
}

function isPrivate(service: VirtualService): boolean {
  return exportedTo(service)?.every((namespace) => namespace === service.metadata.namespace) ?? false
}

function shareCallers(a: AppliedService, b: AppliedService): boolean {
  const from = a.from & b.from
  if ((from & FROM_GATEWAY) !== 0) return true
  if (from === 0) return false
  return !a.namespaces || !b.namespaces || a.namespaces.some((name) => b.namespaces!.includes(name))
}

function sameRank(a: Rank, b: Rank): boolean {
  return a.foreign === b.foreign && a.closeness === b.closeness
}

function ofAnother({ key, namespace }: FunctionSpec): string {
  return `${key} is a function of another namespace, whose routes only ${namespace} writes for all: write exportTo: ["."] to route the calls of your own functions`
}

function byName(a: VirtualService, b: VirtualService): number {
  return nameOf(a) < nameOf(b) ? -1 : 1
}

function nameOf({ metadata }: VirtualService): string {
  return `${metadata.namespace}/${metadata.name}`
}
