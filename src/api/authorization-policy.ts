import type { z } from 'zod'
import { checkPort, condition } from './condition.ts'
import {
  across,
  type CheckContext,
  filledList,
  isMapping,
  list,
  mapping,
  report,
  text,
  unsupported,
  word,
} from './fields.ts'
import { checkIpBlock } from './ip-block.ts'
import { checkDnsLabel, checkDnsSubdomain, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { checkMatchText, checkPath } from './match-text.ts'
import { metadata } from './metadata.ts'
import { selector } from './selector.ts'

/** Who may do what at the selected functions: Istio's AuthorizationPolicy. */
export type AuthorizationPolicy = Manifest<
  'security.istio.io/v1' | 'security.istio.io/v1beta1',
  'AuthorizationPolicy',
  AuthorizationPolicySpec
>
export type AuthorizationPolicySpec = z.output<typeof authorizationPolicySpec>
export type AuthorizationRule = z.output<typeof authorizationRule>
export type AuthorizationSource = z.output<typeof source>
export type AuthorizationOperation = z.output<typeof operation>

const matches = filledList(text(checkMatchText)).optional()
const ipBlocks = filledList(text(checkIpBlock)).optional()
const ports = filledList(text(checkPort)).optional()
const paths = filledList(text(checkPath)).optional()
/** Istio allows no more than 16 service accounts in one source. */
const serviceAccounts = filledList(text(checkServiceAccount), 16).optional()

const source = across(
  mapping({
    principals: matches,
    notPrincipals: matches,
    requestPrincipals: matches,
    notRequestPrincipals: matches,
    namespaces: matches,
    notNamespaces: matches,
    serviceAccounts,
    notServiceAccounts: serviceAccounts,
    ipBlocks,
    notIpBlocks: ipBlocks,
    remoteIpBlocks: ipBlocks,
    notRemoteIpBlocks: ipBlocks,
  }),
  checkSource,
)

const operation = across(
  mapping({
    hosts: matches,
    notHosts: matches,
    ports,
    notPorts: ports,
    methods: matches,
    notMethods: matches,
    paths,
    notPaths: paths,
  }),
  (value, context) => {
    if (Object.keys(value).length === 0)
      report(context, 'bad-value', 'is empty: name hosts, ports, methods or paths, or remove "to"')
  },
)

/** Which requests: those for which `from`, `to` and `when` all hold. */
export const authorizationRule = mapping({
  from: filledList(mapping({ source })).optional(),
  to: filledList(mapping({ operation })).optional(),
  when: filledList(condition).optional(),
})

/** With this annotation Istio does not enforce a policy; ignoring it would open what is only tried out. */
const DRY_RUN = 'istio.io/dry-run'

const gateways = unsupported('gateways and waypoints are not resources here: use selector')

const authorizationPolicySpec = across(
  mapping({
    selector: selector.optional(),
    targetRef: gateways,
    targetRefs: gateways,
    action: word(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']).default('ALLOW'),
    /** CUSTOM: the check service that decides, by its name among MeshConfig's extensionProviders. */
    provider: mapping({ name: text(checkProviderName) }).optional(),
    rules: list(authorizationRule).default([]),
  }),
  checkSpec,
)

export const authorizationPolicyManifest = across(
  manifest(
    ['security.istio.io/v1', 'security.istio.io/v1beta1'],
    'AuthorizationPolicy',
    metadata(),
    authorizationPolicySpec,
  ),
  (value, context) => {
    const annotations = (value.metadata as { annotations?: Record<string, unknown> } | undefined)?.annotations
    const dryRun = annotations?.[DRY_RUN]
    if (dryRun === undefined || dryRun === 'false') return
    report(
      context,
      'unsupported',
      'a policy cannot be tried out without being enforced: use action AUDIT, or remove the annotation',
      ['metadata', 'annotations', DRY_RUN],
    )
  },
)

function checkSource(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const given = Object.keys(value)
  if (given.length === 0) {
    report(context, 'bad-value', 'is empty: name principals, namespaces or the like, or remove "from"')
  }
  const accounts = given.find((field) => /serviceAccounts$/i.test(field))
  const other = given.find((field) => /^(principals|notPrincipals|namespaces|notNamespaces)$/.test(field))
  if (accounts && other) {
    report(context, 'conflict', `cannot stand beside ${other} in one source: use one of them`, [accounts])
  }
}

function checkSpec(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (spec.action === 'DENY' && Array.isArray(spec.rules) && spec.rules.length === 0) {
    report(
      context,
      'bad-value',
      'a DENY policy without rules denies nothing: add a rule, {} to deny every request',
      ['rules'],
    )
  }
  if (spec.action === 'CUSTOM') checkCustom(spec, context)
  else if (spec.provider !== undefined) {
    report(context, 'conflict', 'is for action CUSTOM: write that, or remove the provider', ['provider'])
  }
}

/** The check is asked before tokens are judged, as in Istio, so nothing that a token says can be its condition. */
function checkCustom(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (spec.provider === undefined) {
    report(context, 'missing-field', 'CUSTOM asks a check service: write provider.name', ['provider'])
  }
  const rules: unknown[] = Array.isArray(spec.rules) ? spec.rules : []
  if (rules.length === 0) {
    report(
      context,
      'bad-value',
      'a CUSTOM policy without rules asks for no request: add a rule, {} to ask for every one',
      ['rules'],
    )
  }
  rules.forEach((one, i) => {
    const { from, when } = isMapping(one) ? one : {}
    const refuse = (path: PropertyKey[]) =>
      report(context, 'unsupported', AFTER_CUSTOM, ['rules', i, ...path])
    if (Array.isArray(from)) {
      from.forEach((entry: unknown, j) => {
        const source: unknown = isMapping(entry) ? entry.source : undefined
        for (const field of ['requestPrincipals', 'notRequestPrincipals']) {
          if (isMapping(source) && source[field] !== undefined) refuse(['from', j, 'source', field])
        }
      })
    }
    if (Array.isArray(when)) {
      when.forEach((entry: unknown, j) => {
        const key: unknown = isMapping(entry) ? entry.key : undefined
        if (typeof key === 'string' && key.startsWith('request.auth.')) refuse(['when', j, 'key'])
      })
    }
  })
}

const AFTER_CUSTOM =
  'CUSTOM policies are judged before tokens, as in Istio: put this condition into an ALLOW or DENY policy'

function checkProviderName(value: string): string | null {
  return value.trim() === '' ? 'is empty: name a provider of the MeshConfig' : null
}

function checkServiceAccount(value: string): string | null {
  const parts = value.split('/')
  const [namespace, name] = parts.length === 2 ? [parts[0]!, parts[1]!] : ['default', value]
  if (checkDnsLabel(namespace) === null && checkDnsSubdomain(name) === null) return null
  return `${quote(value)} is not a service account: write NAME or NAMESPACE/NAME, without wildcards`
}
