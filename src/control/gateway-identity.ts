import { RESERVED_IDENTITY } from '../api/check-together.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'

type TrustConfig = Pick<MeshConfigSpec, 'trustDomain' | 'trustDomainAliases'>

/** The principal of the mesh's gateways, which no function may have. */
export function gatewayPrincipal({ trustDomain }: Pick<TrustConfig, 'trustDomain'>): string {
  const { namespace, serviceAccount } = RESERVED_IDENTITY
  return `${trustDomain}/ns/${namespace}/sa/${serviceAccount}`
}

/** By all names of the mesh a peer is one of its own. */
export function trustDomains({ trustDomain, trustDomainAliases }: TrustConfig): string[] {
  return [...new Set([trustDomain, ...trustDomainAliases])]
}
