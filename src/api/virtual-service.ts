import type { z } from 'zod'
import { across, type CheckContext, filledList, mapping, report, text, unsupported } from './fields.ts'
import { gateways, MESH_GATEWAY } from './http-match.ts'
import { httpRoute } from './http-route.ts'
import { checkDnsLabel, checkDnsSubdomain, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'

/** How requests for functions are routed, answered and repeated: Istio's VirtualService, its http routes. */
export type VirtualService = Manifest<
  'networking.istio.io/v1' | 'networking.istio.io/v1beta1' | 'networking.istio.io/v1alpha3',
  'VirtualService',
  VirtualServiceSpec
>
export type VirtualServiceSpec = z.output<typeof virtualServiceSpec>

const ONLY_HTTP = 'functions speak HTTP: write http routes'

const virtualServiceSpec = across(
  mapping({
    hosts: filledList(text(checkHost), 256),
    gateways: gateways.optional(),
    http: filledList(httpRoute, 256),
    tcp: unsupported(ONLY_HTTP),
    tls: unsupported(ONLY_HTTP),
    exportTo: filledList(text(checkExport), 64).optional(),
  }),
  checkSpec,
)

export const virtualServiceManifest = manifest(
  ['networking.istio.io/v1', 'networking.istio.io/v1beta1', 'networking.istio.io/v1alpha3'],
  'VirtualService',
  metadata(),
  virtualServiceSpec,
)

/** A name, or a wildcard for all names below another. */
function checkHost(value: string): string | null {
  if (value === '*') return null
  const name = value.startsWith('*.') ? value.slice(2) : value
  if (checkDnsSubdomain(name.toLowerCase()) === null) return null
  return `${quote(value)} is no host: write the name of a function, its host at the gateway, or "*." and a domain`
}

function checkExport(value: string): string | null {
  if (value === '*' || value === '.' || checkDnsLabel(value) === null) return null
  return `${quote(value)}: write ".", "*" or the name of a namespace`
}

function checkSpec(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  checkTwice(spec.hosts, 'hosts', context)
  checkTwice(spec.exportTo, 'exportTo', context)
  checkTwice(spec.gateways, 'gateways', context)
  const hosts: unknown[] = Array.isArray(spec.hosts) ? spec.hosts : []
  const isForMesh = !Array.isArray(spec.gateways) || spec.gateways.includes(MESH_GATEWAY)
  const star = hosts.indexOf('*')
  if (star >= 0 && isForMesh)
    report(
      context,
      'bad-value',
      '"*" is for gateways only, as in Istio: name the functions, or list gateways without mesh',
      ['hosts', star],
    )
}

function checkTwice(values: unknown, field: string, context: CheckContext): void {
  if (!Array.isArray(values)) return
  values.forEach((value: unknown, index) => {
    if (values.indexOf(value) < index)
      report(context, 'conflict', `${quote(String(value))} is listed twice`, [field, index])
  })
}
