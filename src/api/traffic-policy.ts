import type { z } from 'zod'
import { connectionPool } from './connection-pool.ts'
import {
  across,
  type CheckContext,
  integer,
  isMapping,
  list,
  mapping,
  report,
  unsupported,
  word,
} from './fields.ts'
import { loadBalancer } from './load-balancer.ts'
import { outlierDetection } from './outlier-detection.ts'
import { percentage } from './telemetry.ts'

/** How calls to a function are sent: Istio's TrafficPolicy. */
export type TrafficPolicy = z.output<typeof trafficPolicy>
/** The same at one port; it has no budget of its own. */
export type PortTrafficPolicy = z.output<typeof portTrafficPolicy>

const MESH_TLS = 'the mesh does mutual TLS between nodes itself: write ISTIO_MUTUAL, or remove tls'
const NO_FILES = "certificates are the mesh's own: remove the field"

const tls = mapping({
  mode: word(['ISTIO_MUTUAL'], { DISABLE: MESH_TLS, SIMPLE: MESH_TLS, MUTUAL: MESH_TLS }),
  clientCertificate: unsupported(NO_FILES),
  privateKey: unsupported(NO_FILES),
  caCertificates: unsupported(NO_FILES),
  caCrl: unsupported(NO_FILES),
  credentialName: unsupported(NO_FILES),
  subjectAltNames: unsupported('functions are known by their principals: remove the field'),
  sni: unsupported('the mesh sets its own: remove the field'),
  insecureSkipVerify: unsupported('peers are always verified: remove the field'),
})

const settings = {
  loadBalancer: loadBalancer.optional(),
  connectionPool: connectionPool.optional(),
  outlierDetection: outlierDetection.optional(),
  tls: tls.optional(),
}

const portTrafficPolicy = mapping({
  port: mapping({ number: integer(1, 65_535) }),
  ...settings,
})

export const trafficPolicy = across(
  mapping({
    ...settings,
    portLevelSettings: list(portTrafficPolicy).default([]),
    retryBudget: mapping({
      percent: percentage.default(20),
      minRetryConcurrency: integer(0, 2 ** 31 - 1).default(3),
    }).optional(),
    tunnel: unsupported('TCP is not tunnelled here: remove the field'),
    proxyProtocol: unsupported('instances are not sent the PROXY protocol: remove the field'),
  }),
  checkPorts,
)

function checkPorts(policy: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (!Array.isArray(policy.portLevelSettings)) return
  const seen = new Set<unknown>()
  policy.portLevelSettings.forEach((entry: unknown, index) => {
    const number = isMapping(entry) && isMapping(entry.port) ? entry.port.number : undefined
    if (number !== undefined && seen.has(number))
      report(context, 'conflict', `port ${String(number)} is listed twice`, [
        'portLevelSettings',
        index,
        'port',
        'number',
      ])
    seen.add(number)
  })
}
