import type { z } from 'zod'
import {
  across,
  type CheckContext,
  filledList,
  integer,
  isMapping,
  list,
  mapping,
  report,
  text,
  unsupported,
  word,
} from './fields.ts'
import { checkDnsLabel, checkDnsSubdomain, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata, qualifiedMap } from './metadata.ts'
import { checkSelected } from './selector.ts'

/** Which callees the selected functions know, and at which ports they are served: Istio's Sidecar. */
export type Sidecar = Manifest<
  'networking.istio.io/v1' | 'networking.istio.io/v1beta1' | 'networking.istio.io/v1alpha3',
  'Sidecar',
  SidecarSpec
>
export type SidecarSpec = z.output<typeof sidecarSpec>

const OWN_LISTENERS =
  "functions have no listeners of their own: the mesh takes calls at each one's egress address; remove the field"
const OUTSIDE = 'the outside world is never reachable: write REGISTRY_ONLY, or remove the field'

const port = mapping({
  number: integer(1, 65_535),
  protocol: word(['HTTP'], {
    HTTP2: 'HTTP/2 is not available yet: write HTTP',
    GRPC: 'gRPC is not available yet: write HTTP',
    HTTPS: 'the mesh does TLS itself: write HTTP',
    TLS: 'the mesh does TLS itself: write HTTP',
    TCP: 'functions speak HTTP: write HTTP',
    MONGO: 'functions speak HTTP: write HTTP',
  }),
  name: text(checkDnsLabel).optional(),
  targetPort: unsupported('has no effect in a Sidecar: remove the field'),
})

const egressListener = mapping({
  hosts: filledList(text(checkEgressHost)),
  port: unsupported(OWN_LISTENERS),
  bind: unsupported(OWN_LISTENERS),
  captureMode: word(['DEFAULT', 'NONE'], { IPTABLES: OWN_LISTENERS }).optional(),
})

const ingressListener = mapping({
  port,
  bind: unsupported(OWN_LISTENERS),
  captureMode: word(['DEFAULT', 'NONE'], { IPTABLES: OWN_LISTENERS }).optional(),
  defaultEndpoint: text(checkDefaultEndpoint).optional(),
  tls: unsupported('the mesh does TLS itself: remove the field'),
  connectionPool: unsupported(
    'connections are bounded where they are made: write a DestinationRule, or remove the field',
  ),
})

const sidecarSpec = across(
  mapping({
    workloadSelector: mapping({ labels: qualifiedMap(checkSelected).default({}) }).optional(),
    egress: list(egressListener).optional(),
    ingress: list(ingressListener).optional(),
    outboundTrafficPolicy: mapping({
      mode: word(['REGISTRY_ONLY'], { ALLOW_ANY: OUTSIDE }).default('REGISTRY_ONLY'),
      egressProxy: unsupported(OUTSIDE),
    }).optional(),
    inboundConnectionPool: unsupported(
      'connections are bounded where they are made: write a DestinationRule, or remove the field',
    ),
  }),
  checkSpec,
)

export const sidecarManifest = manifest(
  ['networking.istio.io/v1', 'networking.istio.io/v1beta1', 'networking.istio.io/v1alpha3'],
  'Sidecar',
  metadata(),
  sidecarSpec,
)

function checkSpec(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const empty = ['egress', 'ingress'].every(
    (field) => !Array.isArray(spec[field]) || spec[field].length === 0,
  )
  if (empty && spec.outboundTrafficPolicy === undefined) {
    report(context, 'missing-field', 'says nothing: list egress hosts or ingress ports', ['egress'])
  }
  checkEgressOrder(spec.egress, context)
  checkIngressPorts(spec.ingress, context)
}

/** Without ports and binds every egress entry is a catch-all, of which Istio allows one. */
function checkEgressOrder(egress: unknown, context: CheckContext): void {
  if (Array.isArray(egress) && egress.length > 1) {
    report(context, 'conflict', 'an entry without port is for all ports: list all hosts in one entry', [
      'egress',
      1,
    ])
  }
}

function checkIngressPorts(ingress: unknown, context: CheckContext): void {
  if (!Array.isArray(ingress)) return
  const seen = new Set<unknown>()
  ingress.forEach((listener: unknown, index) => {
    const number = isMapping(listener) && isMapping(listener.port) ? listener.port.number : undefined
    if (number !== undefined && seen.has(number)) {
      report(context, 'conflict', `port ${String(number)} is listed twice`, [
        'ingress',
        index,
        'port',
        'number',
      ])
    }
    seen.add(number)
  })
}

/** `namespace/dnsName`: namespace a name, ".", "*" or "~"; dnsName a name, "*" or "*.name". */
function checkEgressHost(value: string): string | null {
  const form = `${quote(value)}: write NAMESPACE/HOST, for example "./*", "shop/cart.shop.svc.cluster.local" or "*/*"`
  const [namespace = '', host, more] = value.split('/')
  if (host === undefined || more !== undefined) return form
  if (!['.', '*', '~'].includes(namespace) && checkDnsLabel(namespace) !== null) return form
  if (host === '*') return null
  const name = host.startsWith('*.') ? host.slice(2) : host
  return checkDnsSubdomain(name.toLowerCase()) === null ? null : form
}

/** Istio's forms that lead to the instance itself, at the port that it is given anyway. */
function checkDefaultEndpoint(value: string): string | null {
  const match = /^(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]|):(\d{1,5})$/.exec(value)
  if (match && Number(match[2]) >= 1 && Number(match[2]) <= 65_535) return null
  return `${quote(value)}: write 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or :PORT; the mesh forwards to the instance's own port in any case`
}
