// AuthorizationPolicy in plain TypeScript, written from Istio's documentation (security/authorization-policy, conditions,
// normalization) and from nothing in src/sidecar or src/policy, so that the two can be held against each other.

import { BlockList, isIPv6 } from 'node:net'
import type { AuthorizationPolicy } from '../src/api/authorization-policy.ts'

type Spec = AuthorizationPolicy['spec']
type Rule = Spec['rules'][number]
type Values = readonly string[] | undefined

export interface ReferenceMesh {
  readonly rootNamespace: string
  readonly trustDomain: string
  readonly defaultAuthorization: 'allow' | 'deny'
}

export interface ReferenceFunction {
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
}

/** What a policy can see of a request. */
export interface ReferenceRequest {
  /** "" where the peer is not authenticated. */
  readonly peer: string
  readonly method: string
  /** Normalised, without query. */
  readonly path: string
  readonly authority: string
  readonly port: number
  readonly sourceIp: string
  readonly remoteIp: string
  readonly localIp: string
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export interface ReferenceOutcome {
  readonly allowed: boolean
  /** "namespace/name#rule" of the rule that decided, "" where none did. */
  readonly by: string
  /** The first rule that matches of each AUDIT policy, the same way, in order of name. */
  readonly audited: readonly string[]
}

export function judgeByReference(
  policies: readonly AuthorizationPolicy[],
  fn: ReferenceFunction,
  mesh: ReferenceMesh,
  request: ReferenceRequest,
): ReferenceOutcome {
  const inForce = policies
    .filter(({ metadata, spec }) => {
      const inScope = metadata.namespace === fn.namespace || metadata.namespace === mesh.rootNamespace
      const wanted = Object.entries(spec.selector?.matchLabels ?? {})
      return inScope && wanted.every(([name, value]) => fn.labels[name] === value)
    })
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  const of = (action: string) => inForce.filter((policy) => policy.spec.action === action)
  const firstMatch = (policy: AuthorizationPolicy): string | null => {
    const index = policy.spec.rules.findIndex((rule) =>
      ruleMatches(rule, policy.metadata.namespace, mesh, request),
    )
    return index < 0 ? null : `${nameOf(policy)}#${index}`
  }
  const matches = (action: string) =>
    of(action)
      .map(firstMatch)
      .filter((match) => match !== null)
  const audited = matches('AUDIT')
  const denied = matches('DENY')[0]
  if (denied !== undefined) return { allowed: false, by: denied, audited }
  if (of('ALLOW').length === 0) return { allowed: mesh.defaultAuthorization === 'allow', by: '', audited }
  const allowed = matches('ALLOW')[0]
  return { allowed: allowed !== undefined, by: allowed ?? '', audited }
}

function nameOf({ metadata }: AuthorizationPolicy): string {
  return `${metadata.namespace}/${metadata.name}`
}

function ruleMatches(rule: Rule, namespace: string, mesh: ReferenceMesh, request: ReferenceRequest): boolean {
  const { peer } = request
  const peerNamespace = /^[^/]+\/ns\/([^/]+)\/sa\/[^/]+$/.exec(peer)?.[1] ?? ''
  const from =
    rule.from === undefined ||
    rule.from.some(
      ({ source: s }) =>
        field(s.principals, s.notPrincipals, (v) => peer !== '' && principal(v, peer, mesh)) &&
        field(s.namespaces, s.notNamespaces, (v) => peerNamespace !== '' && text(v, peerNamespace)) &&
        field(s.serviceAccounts, s.notServiceAccounts, (v) => serviceAccount(v, peer, namespace)) &&
        field(s.ipBlocks, s.notIpBlocks, (v) => inBlock(v, request.sourceIp)) &&
        field(s.remoteIpBlocks, s.notRemoteIpBlocks, (v) => inBlock(v, request.remoteIp)) &&
        field(s.requestPrincipals, s.notRequestPrincipals, () => false),
    )
  const to =
    rule.to === undefined ||
    rule.to.some(
      ({ operation: o }) =>
        field(o.hosts, o.notHosts, (v) => text(v.toLowerCase(), request.authority.toLowerCase())) &&
        field(o.ports, o.notPorts, (v) => Number(v) === request.port) &&
        field(o.methods, o.notMethods, (v) => text(v, request.method)) &&
        field(o.paths, o.notPaths, (v) => path(v, request.path)),
    )
  const when = (rule.when ?? []).every(({ key, values, notValues }) =>
    field(values, notValues, (v) => attribute(key, v, mesh, request, peerNamespace)),
  )
  return from && to && when
}

/** Values are alternatives; none of the negative ones may match; a field that is not given holds. */
function field(values: Values, notValues: Values, matches: (value: string) => boolean): boolean {
  return (
    (values === undefined || values.some(matches)) && (notValues === undefined || !notValues.some(matches))
  )
}

function attribute(
  key: string,
  value: string,
  mesh: ReferenceMesh,
  request: ReferenceRequest,
  peerNamespace: string,
): boolean {
  const header = /^request\.headers\[(.+)\]$/.exec(key)?.[1]
  if (header !== undefined) {
    const name = header.toLowerCase()
    const found = request.headers
      .filter(([other]) => other.toLowerCase() === name)
      .map(([, content]) => content)
    // Of a field, presence is presence, as in Envoy: an empty one is there.
    return found.length > 0 && (value === '*' || text(value, found.join(name === 'cookie' ? '; ' : ',')))
  }
  switch (key) {
    case 'source.ip':
      return inBlock(value, request.sourceIp)
    case 'remote.ip':
      return inBlock(value, request.remoteIp)
    case 'destination.ip':
      return inBlock(value, request.localIp)
    case 'destination.port':
      return Number(value) === request.port
    case 'source.namespace':
      return peerNamespace !== '' && text(value, peerNamespace)
    case 'source.principal':
      return request.peer !== '' && principal(value, request.peer, mesh)
    default:
      // connection.sni and request.auth.*: no request has them yet.
      return false
  }
}

/** Exact "abc", prefix "abc*", suffix "*abc", presence "*" (anything but empty). */
function text(pattern: string, value: string): boolean {
  const regex =
    pattern === '*'
      ? '.+'
      : pattern.startsWith('*')
        ? `.*${escaped(pattern.slice(1))}`
        : pattern.endsWith('*')
          ? `${escaped(pattern.slice(0, -1))}.*`
          : escaped(pattern)
  return new RegExp(`^(?:${regex})$`, 's').test(value)
}

/** `cluster.local` in a policy stands for the mesh's own trust domain. */
function principal(pattern: string, peer: string, mesh: ReferenceMesh): boolean {
  const whole = /^([^/]+)(\/[^/]*\/[^/]*\/[^/]*\/[^/]*)$/.exec(pattern)
  return text(whole?.[1] === 'cluster.local' ? `${mesh.trustDomain}${whole[2]}` : pattern, peer)
}

function serviceAccount(value: string, peer: string, policyNamespace: string): boolean {
  const [namespace, name] = value.includes('/') ? value.split('/') : [policyNamespace, value]
  return peer.endsWith(`/ns/${namespace}/sa/${name}`)
}

/** `{*}` is one segment, `{**}` any number of them. */
function path(pattern: string, value: string): boolean {
  if (!pattern.includes('{*}') && !pattern.includes('{**}')) return text(pattern, value)
  const regex = pattern
    .split(/(\{\*\*?\})/)
    .map((part) => (part === '{*}' ? '[^/]+' : part === '{**}' ? '.*' : escaped(part)))
    .join('')
  return new RegExp(`^${regex}$`, 's').test(value)
}

function inBlock(block: string, address: string): boolean {
  const [network, bits] = block.split('/')
  const family = isIPv6(network!) ? 'ipv6' : 'ipv4'
  if (family !== (isIPv6(address) ? 'ipv6' : 'ipv4')) return false
  const list = new BlockList()
  if (bits === undefined) list.addAddress(network!, family)
  else list.addSubnet(network!, Number(bits), family)
  return list.check(address, family)
}

function escaped(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
