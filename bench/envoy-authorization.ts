import { typed } from './envoy-parts.ts'
import type { Rule } from './workload.ts'

/** Where Envoy's token filter leaves the claims, and its RBAC filter finds them. */
export const TOKEN_FILTER = 'envoy.filters.http.jwt_authn'
export const CLAIMS = 'payload'

/** Envoy's RBAC filter: one policy for each rule, as Istio compiles them; Envoy tries them in the order of their names. */
export function authorization(rules: readonly Rule[]) {
  const policies = rules.map((rule, index) => [`rule-${String(index).padStart(2, '0')}`, rbacPolicy(rule)])
  return typed('envoy.filters.http.rbac', 'envoy.extensions.filters.http.rbac.v3.RBAC', {
    rules: { action: 'ALLOW', policies: Object.fromEntries(policies) },
  })
}

function rbacPolicy({ from, to, when }: Rule) {
  const permissions = [
    anyOf(to?.methods, (method) => header(':method', method)),
    not(anyOf(to?.notMethods, (method) => header(':method', method))),
    anyOf(to?.hosts, (host) => header(':authority', host)),
    anyOf(to?.paths, (path) => ({ url_path: { path: stringMatch(path) } })),
    anyOf(to?.ports, (port) => ({ destination_port: Number(port) })),
  ].filter((permission) => permission !== undefined)
  const principals = [
    anyOf(from?.ipBlocks, (block) => ({ direct_remote_ip: addressRange(block) }), 'or_ids'),
    anyOf(from?.principals, peer, 'or_ids'),
    anyOf(from?.requestPrincipals, subject, 'or_ids'),
    anyOf(when?.values, (value) => header(when!.header, value), 'or_ids'),
  ].filter((principal) => principal !== undefined)
  return {
    permissions: [permissions.length === 0 ? { any: true } : { and_rules: { rules: permissions } }],
    principals: [principals.length === 0 ? { any: true } : { and_ids: { ids: principals } }],
  }
}

function anyOf(
  values: readonly string[] | undefined,
  match: (value: string) => object,
  kind: 'or_rules' | 'or_ids' = 'or_rules',
) {
  if (values === undefined) return undefined
  return { [kind]: { [kind === 'or_rules' ? 'rules' : 'ids']: values.map(match) } }
}

function not(rule: object | undefined) {
  return rule === undefined ? undefined : { not_rule: rule }
}

function header(name: string, value: string) {
  return { header: { name, string_match: stringMatch(value) } }
}

function peer(principal: string) {
  return { authenticated: { principal_name: { exact: `spiffe://${principal}` } } }
}

// ISSUER/* as Istio compiles it: that issuer, and any subject.
function subject(requestPrincipal: string) {
  const issuer = requestPrincipal.slice(0, requestPrincipal.lastIndexOf('/'))
  return {
    and_ids: { ids: [claim('iss', { exact: issuer }), claim('sub', { safe_regex: { regex: '.+' } })] },
  }
}

function claim(name: string, match: object) {
  const path = [{ key: CLAIMS }, { key: name }]
  return { metadata: { filter: TOKEN_FILTER, path, value: { string_match: match } } }
}

function stringMatch(pattern: string) {
  if (pattern.endsWith('*')) return { prefix: pattern.slice(0, -1) }
  return pattern.startsWith('*') ? { suffix: pattern.slice(1) } : { exact: pattern }
}

function addressRange(block: string) {
  const [address, length] = block.split('/')
  return { address_prefix: address, prefix_len: Number(length) }
}
